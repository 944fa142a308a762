#include "services/control/check_run.h"

#include "base/document.h"
#include "base/durable_file.h"
#include "base/error.h"
#include "services/control/run_file.h"
#include "services/control/scratch.h"
#include "services/launcher/worker_tool.h"

namespace masbak::services {
namespace {

// What the user knows a file of the scratch folder as; that is gone by the time that the message is read.
std::string known_name(const std::string& file, const registry::Job& job, const std::filesystem::path& folder) {
  std::string name = std::filesystem::path(file).lexically_relative(folder);
  if (name == kTrainFile) return job.dataset;
  if (name == kEvalFile) return job.eval_dataset;
  if (name.rfind("base", 0) == 0) return job.base_model + name.substr(4);
  return name.rfind("..", 0) == 0 ? file : name;
}

// The first of the report on standard output; without a report, the error line.
base::Error first_problem(const ToolOutput& output, const registry::Job& job, const std::filesystem::path& folder) {
  base::Json report = base::Json::parse(output.out, nullptr, false);
  if (!report.is_object() || !report.contains("problems") || report["problems"].empty()) {
    return worker_error(output.err, "masbak-worker validate ended with status " + std::to_string(output.status));
  }
  const base::Json& first = report["problems"][0];
  size_t count = report["problems"].size();
  std::string others = count == 1 ? "" : " (the first of " + std::to_string(count) + " problems)";
  base::Where where{known_name(first.at("file").get<std::string>(), job, folder), first.at("line").get<int>(),
                    first.at("field").get<std::string>()};
  return {code_of(first.at("code").get<std::string>()), first.at("message").get<std::string>() + others, where};
}

}  // namespace

void check_run(const ControlContext& context, const registry::Job& job, const registry::BaseModel& base) {
  ScratchFolder folder(context.scratch);
  std::filesystem::create_directory_symlink(base.path, folder.path() / "base");
  for (const auto& [name, digest] : job.files) {
    auto link = folder.path() / name;
    std::filesystem::create_directories(link.parent_path());
    std::filesystem::create_symlink(std::filesystem::absolute(context.artifacts.path(digest)), link);
  }
  auto run_file = folder.path() / "run.yaml";
  base::write_file_durably(run_file, job.run_yaml);
  ToolOutput output = run_worker_tool(context.worker, {"validate", run_file.string()});
  if (output.status != 0) throw first_problem(output, job, folder.path());
}

}  // namespace masbak::services

#include "services/control/check_run.h"

#include "base/durable_file.h"
#include "base/error.h"
#include "services/control/scratch.h"
#include "services/launcher/worker_tool.h"

namespace masbak::services {

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
  if (output.status == 0) return;
  base::Error error = worker_error(output.err, "masbak-worker validate ended with status " +
                                                   std::to_string(output.status));
  // The folder is gone by the time that the message is read.
  std::string message = error.what();
  std::string prefix = folder.path().string() + "/";
  for (size_t at = message.find(prefix); at != std::string::npos; at = message.find(prefix)) {
    message.erase(at, prefix.size());
  }
  throw base::Error(error.code(), message);
}

}  // namespace masbak::services

#include "services/control/scan_dataset.h"

#include "base/document.h"
#include "base/error.h"
#include "services/launcher/worker_tool.h"

namespace masbak::services {

v1::ScanDatasetResponse scan_dataset(const ControlContext& context, const std::string& digest) {
  ToolOutput output = run_worker_tool(context.worker, {"scan", context.artifacts.path(digest).string()});
  if (output.status != 0) {
    throw worker_error(output.err, "masbak-worker scan ended with status " + std::to_string(output.status));
  }
  base::Json json = base::parse_json(output.out, "masbak-worker scan");
  v1::ScanDatasetResponse response;
  response.set_rows(json.at("rows").get<int64_t>());
  response.set_format(json.at("format").get<std::string>());
  for (const auto& problem : json.at("problems")) {
    auto* item = response.add_problems();
    item->set_line(problem.at("line").get<int>());
    item->set_field(problem.at("field").get<std::string>());
    item->set_message(problem.at("message").get<std::string>());
  }
  return response;
}

void require_sound(const v1::ScanDatasetResponse& scan, const std::string& file_name) {
  if (scan.problems_size() > 0) {
    const auto& first = scan.problems(0);
    std::string others =
        scan.problems_size() == 1 ? "" : " (the first of " + std::to_string(scan.problems_size()) + " problems)";
    base::fail_input(first.message() + others, {file_name, first.line(), first.field()});
  }
  if (scan.rows() == 0) base::fail_input("expected at least one row, found none", {.file = file_name});
}

}  // namespace masbak::services

#include "services/launcher/worker_tool.h"

#include <unistd.h>

#include "base/error.h"
#include "base/process.h"

namespace masbak::services {
namespace {

// The last line that begins with "error: ", without that; empty if there is none.
std::string last_error_line(const std::string& log) {
  const std::string mark = "error: ";
  size_t at = log.rfind("\n" + mark);
  if (at != std::string::npos) {
    at += 1;
  } else if (log.compare(0, mark.size(), mark) == 0) {
    at = 0;
  } else {
    return "";
  }
  at += mark.size();
  return log.substr(at, log.find('\n', at) - at);
}

}  // namespace

base::Code code_of(std::string_view name) {
  for (int number = 1; number <= 16; ++number) {
    auto code = static_cast<base::Code>(number);
    if (base::code_name(code) == name) return code;
  }
  return base::Code::kInternal;
}

base::Error worker_error(const std::string& log, const std::string& fallback) {
  std::string line = last_error_line(log);
  if (line.empty()) return {base::Code::kInternal, fallback};
  size_t colon = line.find(": ");
  if (colon == std::string::npos) return {base::Code::kInternal, line};
  return {code_of(line.substr(0, colon)), line.substr(colon + 2)};
}

ToolOutput run_worker_tool(const std::filesystem::path& worker, const std::vector<std::string>& arguments) {
  if (access(worker.c_str(), X_OK) != 0) {
    throw base::Error(base::Code::kFailedPrecondition,
                      "expected the program masbak-worker, found none: install it beside this program, or name "
                      "it with --worker",
                      {worker.string()});
  }
  base::ProcessOptions options;
  options.argv = {worker.string()};
  options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
  base::Output output = base::run_process(options, "", std::chrono::minutes(30));
  if (output.exit.signal != 0) {
    throw base::Error(base::Code::kInternal, "masbak-worker " + arguments.front() + " was " + output.exit.describe());
  }
  return {output.exit.status, output.out, output.err};
}

base::Json inspect_model(const std::filesystem::path& worker, const std::filesystem::path& folder) {
  ToolOutput output = run_worker_tool(worker, {"inspect", folder.string()});
  if (output.status != 0) {
    throw worker_error(output.err, "masbak-worker inspect ended with status " + std::to_string(output.status));
  }
  return base::parse_json(output.out, "masbak-worker inspect");
}

}  // namespace masbak::services

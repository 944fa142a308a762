#include "programs/cli/installation.h"

#include <fstream>

#include "base/document.h"
#include "base/durable_file.h"
#include "base/process.h"
#include "base/text.h"

namespace masbak::cli {
namespace {

namespace fs = std::filesystem;
using base::Code;
using base::Error;

// "INVALID_ARGUMENT" → its code; INTERNAL if there is none of that name.
Code code_of(const std::string& name) {
  for (int code = 1; code <= 16; ++code) {
    if (base::code_name(static_cast<Code>(code)) == name) return static_cast<Code>(code);
  }
  return Code::kInternal;
}

}  // namespace

std::optional<RunningProcess> find_process(const fs::path& run_file) {
  if (!fs::exists(run_file)) return std::nullopt;
  const base::Json json = base::read_json(run_file);
  const RunningProcess process{.pid = json.at("pid").get<pid_t>(),
                               .start_ticks = json.at("start_ticks").get<uint64_t>()};
  if (!base::process_alive(process.pid, process.start_ticks)) return std::nullopt;
  return process;
}

void write_run_file(const fs::path& run_file, pid_t pid) {
  const base::Json json = {{"pid", pid}, {"start_ticks", base::process_start_ticks(pid)}};
  base::write_file_durably(run_file, json.dump() + "\n");
}

uint64_t file_size_or_zero(const fs::path& file) {
  std::error_code fault;
  const uint64_t size = fs::file_size(file, fault);
  return fault ? 0 : size;
}

Error reason_in_log(const fs::path& log_file, uint64_t from, const std::string& what) {
  std::ifstream log(log_file);
  log.seekg(static_cast<std::streamoff>(from));
  std::string last, reason;
  for (std::string line; std::getline(log, line);) {
    if (line.empty()) continue;
    last = base::with_valid_utf8(line);
    if (last.starts_with("error: ")) reason = last;
  }
  const std::string prefix = "error: ";
  const size_t colon = reason.find(": ", prefix.size());
  if (colon != std::string::npos) {
    return Error(code_of(reason.substr(prefix.size(), colon - prefix.size())), reason.substr(colon + 2));
  }
  return Error(Code::kUnavailable, what + " has ended" + (last.empty() ? ", and its log says nothing" : ": " + last),
               {.file = log_file.string()});
}

std::string next_steps(const Installation& installation) {
  const bool standard = installation.data == default_data_folder();
  const std::string data = standard ? "" : " --data " + installation.data.string();
  return "  masbak status" + data + "\n  masbak model add FOLDER --name NAME" + data +
         "\n  masbak dataset add FILE.jsonl" + data + "\n  masbak-console" + data + "\n";
}

}  // namespace masbak::cli

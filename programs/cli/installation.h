// A local installation: its folder, the processes that run in it, and their supervisor.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "programs/cli/client.h"

namespace masbak::cli {

// What lies where in the data folder.
struct Installation {
  std::filesystem::path data;

  std::filesystem::path endpoint_file() const { return data / "endpoint"; }
  std::filesystem::path token_file() const { return data / "token"; }
  std::filesystem::path log_file(const std::string& program) const { return data / "log" / (program + ".log"); }
  std::filesystem::path run_file(const std::string& program) const { return data / "run" / (program + ".json"); }
};

// A process known from its run file, `{"pid": …, "start_ticks": …}`.
struct RunningProcess {
  pid_t pid = 0;
  uint64_t start_ticks = 0;
};

// The one that the file names, if it is still that one and alive.
std::optional<RunningProcess> find_process(const std::filesystem::path& run_file);
void write_run_file(const std::filesystem::path& run_file, pid_t pid);

// The reason that a program gave at its end: the last "error: CODE: …" line of its log from byte `from` on, as an
// Error with that code; else UNAVAILABLE with the log's last line. It names the log.
base::Error reason_in_log(const std::filesystem::path& log_file, uint64_t from, const std::string& what);

uint64_t file_size_or_zero(const std::filesystem::path& file);

// What to do once it runs.
std::string next_steps(const Installation& installation);

}  // namespace masbak::cli

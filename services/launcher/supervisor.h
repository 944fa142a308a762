// The small process between an agent and a worker. An agent that is killed and started again cannot wait
// for the children of its former life; so each worker has a parent of its own that waits for it, and
// leaves how it ended in a file.
//
// Files, all in one directory, NAME being one start ("train-1"):
//   NAME.lock          held while the supervisor lives: a second start of the same name gives way
//   NAME.process.json  ids of supervisor and worker, with the supervisor's start ticks
//   NAME.exit.json     how the worker ended; its presence means that it has
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/document.h"
#include "base/process.h"

namespace masbak::services {

struct Supervision {
  std::filesystem::path directory;
  std::string name;
  std::filesystem::path log;               // the worker's standard output and error are appended
  std::chrono::milliseconds grace{30000};  // between SIGTERM and SIGKILL
  std::vector<std::string> argv;           // of the worker, which runs in `directory`
};

std::filesystem::path process_file(const std::filesystem::path& directory, const std::string& name);
std::filesystem::path exit_file(const std::filesystem::path& directory, const std::string& name);

// Runs the worker to its end; SIGTERM to the caller stops the worker with the grace period. Returns the
// exit status for the supervisor: 0 once NAME.exit.json is written, 75 if another holds the lock.
// Must be called from a program's main thread with stop signals installed.
int supervise(const Supervision& supervision);

}  // namespace masbak::services

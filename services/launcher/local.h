// Starts workers on this machine, each under a supervisor of its own (supervisor.h), and finds them again
// after a restart of the agent.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/process.h"
#include "services/launcher/supervisor.h"

namespace masbak::services {

// How a supervised worker ended.
struct WorkerEnd {
  base::ExitStatus exit;
  std::string error;       // why it could not even be started
  bool stopped = false;    // its supervisor was asked to stop it
  bool traceless = false;  // it is gone with its supervisor: the machine went down, or both were killed
  bool ok() const { return !traceless && error.empty() && exit.ok(); }
  std::string describe() const;
};

// One start of a worker. The destructor leaves it running. Not thread-safe.
class LocalWorker {
 public:
  // Runs `supervisor supervise …` (the program masbak-noded). Starting a name twice is harmless.
  static LocalWorker start(const Supervision& supervision, const std::filesystem::path& supervisor);
  // A start of an earlier life, running or ended. Nothing if the name was never started.
  static std::optional<LocalWorker> find(const std::filesystem::path& directory, const std::string& name);

  LocalWorker(LocalWorker&&) = default;
  LocalWorker& operator=(LocalWorker&&) = default;
  ~LocalWorker();

  std::optional<WorkerEnd> poll();  // nothing while it runs
  void request_stop();              // SIGTERM, and SIGKILL after the grace period: poll() tells when
  void kill();                      // SIGKILL to supervisor and worker

 private:
  LocalWorker(std::filesystem::path directory, std::string name);
  bool read_process_file();

  std::filesystem::path directory_;
  std::string name_;
  std::optional<base::Process> child_;  // the supervisor, if this process started it
  pid_t supervisor_ = 0;
  pid_t worker_ = 0;
  uint64_t start_ticks_ = 0;
};

}  // namespace masbak::services

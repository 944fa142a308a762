#include "services/launcher/supervisor.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <thread>

#include "base/durable_file.h"
#include "base/error.h"
#include "base/program.h"
#include "base/time.h"

namespace masbak::services {
namespace {

constexpr int kAlreadySupervised = 75;

// Held until the process ends; the descriptor is not inherited by the worker.
bool take_lock(const std::filesystem::path& file) {
  int fd = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) base::fail_errno("opening a lock", file);
  return flock(fd, LOCK_EX | LOCK_NB) == 0;
}

void write_exit(const Supervision& supervision, const base::ExitStatus& exit, const std::string& error) {
  base::Json json;
  json["status"] = exit.status;
  json["signal"] = exit.signal;
  json["error"] = error;
  json["stopped"] = base::stop_requested();
  json["time"] = base::now_rfc3339();
  base::write_file_durably(exit_file(supervision.directory, supervision.name), json.dump() + "\n");
}

base::ExitStatus watch(base::Process& worker, std::chrono::milliseconds grace) {
  while (true) {
    if (auto ended = worker.poll()) return *ended;
    if (base::stop_requested()) return worker.stop(grace);
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
  }
}

}  // namespace

std::filesystem::path process_file(const std::filesystem::path& directory, const std::string& name) {
  return directory / (name + ".process.json");
}

std::filesystem::path exit_file(const std::filesystem::path& directory, const std::string& name) {
  return directory / (name + ".exit.json");
}

int supervise(const Supervision& supervision) {
  if (!take_lock(supervision.directory / (supervision.name + ".lock"))) return kAlreadySupervised;
  if (std::filesystem::exists(exit_file(supervision.directory, supervision.name))) return 0;
  base::ProcessOptions options;
  options.argv = supervision.argv;
  options.working_directory = supervision.directory;
  options.stdout_file = supervision.log;
  options.stderr_file = supervision.log;
  options.die_with_parent = true;
  try {
    base::Process worker = base::Process::start(options);
    base::Json json;
    json["supervisor"] = getpid();
    json["start_ticks"] = base::process_start_ticks(getpid());
    json["worker"] = worker.pid();
    json["time"] = base::now_rfc3339();
    base::write_file_durably(process_file(supervision.directory, supervision.name), json.dump() + "\n");
    write_exit(supervision, watch(worker, supervision.grace), "");
  } catch (const base::Error& error) {
    write_exit(supervision, base::ExitStatus{.status = 127}, error.describe());
  }
  return 0;
}

}  // namespace masbak::services

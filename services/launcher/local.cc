#include "services/launcher/local.h"

#include <signal.h>

#include "base/document.h"

namespace masbak::services {
namespace {

std::optional<WorkerEnd> read_exit(const std::filesystem::path& file) {
  if (!std::filesystem::exists(file)) return std::nullopt;
  base::Json json = base::read_json(file);
  WorkerEnd end;
  end.exit.status = json.at("status").get<int>();
  end.exit.signal = json.at("signal").get<int>();
  end.error = json.at("error").get<std::string>();
  end.stopped = json.at("stopped").get<bool>();
  return end;
}

}  // namespace

std::string WorkerEnd::describe() const {
  if (traceless) return "the worker is gone without a trace: the machine went down, or its supervisor was killed";
  return error.empty() ? exit.describe() : error;
}

LocalWorker::LocalWorker(std::filesystem::path directory, std::string name)
    : directory_(std::move(directory)), name_(std::move(name)) {}

LocalWorker::~LocalWorker() {
  if (child_) child_->release();
}

LocalWorker LocalWorker::start(const Supervision& supervision, const std::filesystem::path& supervisor) {
  base::ProcessOptions options;
  options.argv = {supervisor,    "supervise",
                  "--directory", supervision.directory,
                  "--name",      supervision.name,
                  "--log",       supervision.log,
                  "--grace-ms",  std::to_string(supervision.grace.count()),
                  "--"};
  options.argv.insert(options.argv.end(), supervision.argv.begin(), supervision.argv.end());
  options.stdout_file = supervision.log;
  options.stderr_file = supervision.log;
  options.new_session = true;
  options.die_with_parent = false;
  LocalWorker worker(supervision.directory, supervision.name);
  worker.child_ = base::Process::start(options);
  worker.supervisor_ = worker.child_->pid();
  worker.start_ticks_ = base::process_start_ticks(worker.supervisor_);
  return worker;
}

std::optional<LocalWorker> LocalWorker::find(const std::filesystem::path& directory, const std::string& name) {
  LocalWorker worker(directory, name);
  if (!worker.read_process_file() && !std::filesystem::exists(exit_file(directory, name))) return std::nullopt;
  return worker;
}

bool LocalWorker::read_process_file() {
  auto file = process_file(directory_, name_);
  if (!std::filesystem::exists(file)) return false;
  base::Json json = base::read_json(file);
  supervisor_ = json.at("supervisor").get<pid_t>();
  start_ticks_ = json.at("start_ticks").get<uint64_t>();
  worker_ = json.at("worker").get<pid_t>();
  return true;
}

std::optional<WorkerEnd> LocalWorker::poll() {
  if (child_ && child_->poll()) {
    // Ours has ended. If it gave way to the supervisor of an earlier life, that one is watched from here.
    child_.reset();
    read_process_file();
  }
  if (child_) return std::nullopt;
  // Asked in this order: a supervisor writes the file before it goes.
  bool alive = base::process_alive(supervisor_, start_ticks_);
  if (auto end = read_exit(exit_file(directory_, name_))) return end;
  if (alive) return std::nullopt;
  WorkerEnd end;
  end.traceless = true;
  return end;
}

void LocalWorker::request_stop() {
  if (base::process_alive(supervisor_, start_ticks_)) ::kill(supervisor_, SIGTERM);
}

void LocalWorker::kill() {
  // The worker dies with its supervisor (PR_SET_PDEATHSIG); its own children go with its group.
  if (!base::process_alive(supervisor_, start_ticks_)) return;
  if (read_process_file() && worker_ > 0) ::kill(-worker_, SIGKILL);
  ::kill(supervisor_, SIGKILL);
}

}  // namespace masbak::services

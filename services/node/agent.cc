#include "services/node/agent.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "base/program.h"
#include "services/node/machine.h"

namespace masbak::services {
namespace {

// "deployments/pump-assistant/2" → "deployments_pump-assistant_2"; ids of the registry have no '_' of their
// own at the places where this would matter, since each begins with its collection.
std::string folder_name(std::string id) {
  std::replace(id.begin(), id.end(), '/', '_');
  return id;
}

int lock_data_folder(const std::filesystem::path& data) {
  std::filesystem::create_directories(data / "tasks");
  auto file = data / "lock";
  int fd = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) base::fail_errno("opening a lock", file);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    close(fd);
    throw base::Error(base::Code::kAlreadyExists,
                      "another agent works in this data folder: stop it, or give this one a folder of its own",
                      {data.string()});
  }
  return fd;
}

}  // namespace

Agent::Agent(const AgentOptions& options)
    : options_(options),
      control_(options.control, options.token),
      base_models_(options.worker, options.data / "base-models.json"),
      tools_{control_, base_models_, options.worker, options.supervisor, options.grace},
      lock_(lock_data_folder(options.data)) {
  for (const auto& entry : std::filesystem::directory_iterator(options_.data / "tasks")) {
    auto runner = TaskRunner::load(entry.path(), tools_);
    if (!runner) continue;
    base::log_info("took up " + runner->id() + " again");
    std::string id = runner->id();
    tasks_[id] = std::move(runner);
  }
}

Agent::~Agent() {
  shut_down();
  close(lock_);
}

void Agent::run() {
  auto pause = options_.period;
  while (!base::stop_requested()) {
    auto next = std::chrono::steady_clock::now();
    try {
      sync();
      if (!connected_) base::log_info("the control plane is back");
      connected_ = true;
      pause = options_.period;
    } catch (const base::Error& error) {
      if (connected_) base::log_warn(error.describe() + "; tasks go on, and the agent keeps trying");
      connected_ = false;
      pause = std::min(pause * 2, std::chrono::milliseconds(5000));
    }
    sweep_forgotten();
    next += pause;
    while (!base::stop_requested() && std::chrono::steady_clock::now() < next) {
      std::this_thread::sleep_for(std::chrono::milliseconds(25));
    }
  }
  shut_down();
}

void Agent::sync() {
  v1::SyncResponse wanted = control_.sync(observe());
  acknowledged_.clear();
  for (const auto& [id, seq] : wanted.acknowledged_seq()) acknowledged_[id] = seq;
  reconcile(wanted);
}

v1::SyncRequest Agent::observe() {
  v1::SyncRequest request;
  *request.mutable_node() = describe_machine();
  request.mutable_node()->set_name("nodes/" + options_.name);
  request.mutable_node()->set_running_tasks(static_cast<int>(
      std::count_if(tasks_.begin(), tasks_.end(), [](const auto& task) { return !task.second->is_final(); })));
  for (const auto& [id, task] : tasks_) {
    // What the control plane has acknowledged is not known before its first answer; then only the state is said.
    bool known = acknowledged_.count(id) > 0;
    v1::TaskStatus status = task->status(known ? acknowledged_[id] : INT64_MAX);
    if (!known && task->is_final()) status.set_state(v1::TaskStatus::STATE_RUNNING);
    *request.add_tasks() = std::move(status);
  }
  for (const auto& [id, reason] : refused_) {
    auto* status = request.add_tasks();
    status->set_id(id);
    status->set_state(v1::TaskStatus::STATE_FAILED);
    status->set_error(reason);
  }
  return request;
}

void Agent::reconcile(const v1::SyncResponse& wanted) {
  std::map<std::string, const v1::Task*> by_id;
  for (const auto& task : wanted.tasks()) by_id[task.id()] = &task;
  for (auto task = tasks_.begin(); task != tasks_.end();) {
    if (by_id.count(task->first) > 0) {
      ++task;
      continue;
    }
    task->second->stop();
    forgotten_[task->first] = std::move(task->second);
    task = tasks_.erase(task);
  }
  std::erase_if(refused_, [&](const auto& refused) { return by_id.count(refused.first) == 0; });
  for (const auto& [id, task] : by_id) {
    auto found = tasks_.find(id);
    if (found == tasks_.end()) {
      take_up(*task);
    } else if (task->stop()) {
      found->second->stop();
    }
  }
}

void Agent::take_up(const v1::Task& task) {
  // One that still ends its former life is waited for; a refused one stays refused until it is taken back.
  if (forgotten_.count(task.id()) > 0 || refused_.count(task.id()) > 0) return;
  try {
    auto directory = options_.data / "tasks" / folder_name(task.id());
    std::filesystem::create_directories(directory);
    tasks_[task.id()] = TaskRunner::create(task, directory, tools_);
    base::log_info("took up " + task.id());
  } catch (const base::Error& error) {
    base::log_warn(task.id() + " was refused: " + error.describe());
    refused_[task.id()] = error.describe();
  }
}

void Agent::sweep_forgotten() {
  for (auto task = forgotten_.begin(); task != forgotten_.end();) {
    if (!task->second->thread_ended()) {
      ++task;
      continue;
    }
    task->second->join();
    auto directory = task->second->directory();
    base::log_info("forgot " + task->first);
    task = forgotten_.erase(task);
    std::error_code ignored;  // what is left is loaded, found unwanted and removed by the next agent
    std::filesystem::remove_all(directory, ignored);
  }
}

void Agent::shut_down() {
  for (auto* tasks : {&tasks_, &forgotten_}) {
    for (auto& [id, task] : *tasks) task->interrupt(!options_.keep_workers);
  }
  for (auto* tasks : {&tasks_, &forgotten_}) {
    for (auto& [id, task] : *tasks) task->join();
    tasks->clear();
  }
}

}  // namespace masbak::services

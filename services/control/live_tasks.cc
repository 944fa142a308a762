#include "services/control/live_tasks.h"

namespace masbak::services {

void LiveTasks::set(const std::string& node, const v1::SyncRequest& request) {
  std::map<std::string, v1::TaskStatus> tasks;
  for (const auto& status : request.tasks()) {
    auto& kept = tasks[status.id()] = status;
    kept.clear_events();  // they are in the store
  }
  std::lock_guard lock(mutex_);
  tasks_[node] = std::move(tasks);
}

LiveTasks::Snapshot LiveTasks::snapshot() const {
  std::lock_guard lock(mutex_);
  return tasks_;
}

bool LiveTasks::find(const std::string& node, const std::string& task, v1::TaskStatus* status) const {
  std::lock_guard lock(mutex_);
  auto tasks = tasks_.find(node);
  if (tasks == tasks_.end()) return false;
  auto found = tasks->second.find(task);
  if (found == tasks->second.end()) return false;
  *status = found->second;
  return true;
}

}  // namespace masbak::services

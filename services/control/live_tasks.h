// What the agents said last of their tasks. Not state: each Sync says it again.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "masbak/v1/node.pb.h"

namespace masbak::services {

// Thread-safe.
class LiveTasks {
 public:
  // All that runs on a node, instead of what was said before.
  void set(const std::string& node, const v1::SyncRequest& request);
  // By node, then by task id.
  using Snapshot = std::map<std::string, std::map<std::string, v1::TaskStatus>>;
  Snapshot snapshot() const;
  // True and the status if `node` said something of `task`.
  bool find(const std::string& node, const std::string& task, v1::TaskStatus* status) const;

 private:
  mutable std::mutex mutex_;
  Snapshot tasks_;
};

}  // namespace masbak::services

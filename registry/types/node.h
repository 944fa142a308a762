// Hosts with an agent.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "registry/types/time.h"

namespace masbak::registry {

enum class NodeState { kReady = 1, kDraining = 2, kLost = 3 };

std::string_view node_state_name(NodeState state);

struct Node {
  std::string name;  // "nodes/local"
  std::string address;
  int cpu_cores = 0;
  int64_t memory_bytes = 0;
  std::vector<std::string> gpus;
  int running_tasks = 0;
  std::string agent_version;
  // Set by the store:
  NodeState state = NodeState::kReady;
  bool draining = false;  // wanted by a person; kept while the node is LOST
  Time last_sync_time{};
};

}  // namespace masbak::registry

#include "registry/types/node.h"

namespace masbak::registry {

std::string_view node_state_name(NodeState state) {
  switch (state) {
    case NodeState::kReady: return "READY";
    case NodeState::kDraining: return "DRAINING";
    case NodeState::kLost: return "LOST";
  }
  return "?";
}

}  // namespace masbak::registry

// Shared by node list and status.
#pragma once

#include "masbak/v1/node.pb.h"
#include "programs/cli/output.h"

namespace masbak::cli {

inline std::string node_state(const v1::Node& node) {
  return plain_state(v1::NodeState_Name(node.state()), "NODE_STATE_");
}

}  // namespace masbak::cli

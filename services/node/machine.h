// What this machine has, as a node of the installation.
#pragma once

#include "masbak/v1/node.pb.h"

namespace masbak::services {

// Cores, memory, graphics processors (by NVIDIA's management library) and address; the name is the caller's.
v1::Node describe_machine();

}  // namespace masbak::services

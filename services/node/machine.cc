#include "services/node/machine.h"

#include <unistd.h>

#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "base/nvml.h"

namespace masbak::services {
namespace {

// "NVIDIA H100 80GB HBM3, 79.6 GiB" each.
std::vector<std::string> read_gpu_names() {
  std::vector<std::string> names;
  for (const base::Gpu& gpu : base::list_gpus()) {
    char memory[32] = "";
    constexpr double kGib = 1 << 30;
    if (gpu.memory_bytes > 0) std::snprintf(memory, sizeof memory, ", %.1f GiB", gpu.memory_bytes / kGib);
    names.push_back(gpu.name + memory);
  }
  return names;
}

// Read once: the management library takes up to a second to start, and an agent reports twice a second.
const std::vector<std::string>& gpu_names() {
  static const std::vector<std::string> names = read_gpu_names();
  return names;
}

}  // namespace

v1::Node describe_machine() {
  v1::Node node;
  node.set_address("127.0.0.1");
  node.set_cpu_cores(static_cast<int>(std::thread::hardware_concurrency()));
  node.set_memory_bytes(sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE));
  for (const std::string& name : gpu_names()) node.add_gpus(name);
  node.set_agent_version("0.1.0");
  return node;
}

}  // namespace masbak::services

#include "services/node/machine.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace masbak::services {
namespace {

// One "Model:" line in /proc/driver/nvidia/gpus/*/information each.
std::vector<std::string> gpu_models() {
  std::vector<std::string> models;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/driver/nvidia/gpus", missing)) {
    std::ifstream information(entry.path() / "information");
    std::string line;
    while (std::getline(information, line)) {
      if (line.rfind("Model:", 0) != 0) continue;
      size_t start = line.find_first_not_of(" \t", 6);
      if (start != std::string::npos) models.push_back(line.substr(start));
    }
  }
  return models;
}

}  // namespace

v1::Node describe_machine() {
  v1::Node node;
  node.set_address("127.0.0.1");
  node.set_cpu_cores(static_cast<int>(std::thread::hardware_concurrency()));
  node.set_memory_bytes(sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE));
  for (const auto& model : gpu_models()) node.add_gpus(model);
  node.set_agent_version("0.1.0");
  return node;
}

}  // namespace masbak::services

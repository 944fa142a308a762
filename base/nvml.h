// What NVIDIA's management library says of the GPUs of this machine. The library comes with the driver and is opened at
// run time: a program needs neither it nor CUDA to be built or to run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace masbak::base {

struct Gpu {
  std::string name;          // "NVIDIA H100 80GB HBM3"
  int64_t memory_bytes = 0;  // 0: the GPU does not say
};

// The GPUs in the order of their numbers; empty without a driver. A GPU that does not answer (it fell off the bus) is
// left out with a warning. `library` is the file to open; MASBAK_NVML overrides it.
// Safe from any thread.
std::vector<Gpu> list_gpus(const std::string& library = "libnvidia-ml.so.1");

}  // namespace masbak::base

// Stands in for NVIDIA's management library: two GPUs, and with FAKE_NVML the ways in which the real one fails.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace {

constexpr int kSuccess = 0, kNotSupported = 3, kGpuIsLost = 15, kDriverNotLoaded = 9;

bool mode(std::string_view name) {
  const char* value = std::getenv("FAKE_NVML");
  return value != nullptr && value == name;
}

struct Memory {
  unsigned long long total, free, used;
};

int starts = 0;

}  // namespace

extern "C" {

int nvmlInit_v2() {
  ++starts;
  return mode("no_driver") ? kDriverNotLoaded : kSuccess;
}

int nvmlShutdown() {
  --starts;
  return kSuccess;
}

const char* nvmlErrorString(int code) { return code == kGpuIsLost ? "GPU is lost" : "Driver Not Loaded"; }

int nvmlDeviceGetCount_v2(unsigned* count) {
  if (starts != 1) std::abort();  // each start has its end
  *count = 2;
  return kSuccess;
}

// A device is its number plus one.
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
  if (index == 1 && mode("one_lost")) return kGpuIsLost;
  *device = reinterpret_cast<void*>(static_cast<uintptr_t>(index) + 1);
  return kSuccess;
}

int nvmlDeviceGetName(void* device, char* name, unsigned length) {
  std::snprintf(name, length, "NVIDIA Fake %d", static_cast<int>(reinterpret_cast<uintptr_t>(device)));
  return kSuccess;
}

int nvmlDeviceGetMemoryInfo(void* device, Memory* memory) {
  if (device == reinterpret_cast<void*>(uintptr_t{2})) return kNotSupported;
  *memory = {80ULL << 30, 79ULL << 30, 1ULL << 30};
  return kSuccess;
}

}  // extern "C"

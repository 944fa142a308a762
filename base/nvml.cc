#include "base/nvml.h"

#include <dlfcn.h>

#include <cstdlib>
#include <memory>
#include <optional>

#include "base/log.h"

namespace masbak::base {
namespace {

// Of NVML's interface (nvml.h of the CUDA toolkit) what is used here.
using Device = void*;
struct Memory {
  unsigned long long total, free, used;
};
constexpr int kSuccess = 0;
constexpr unsigned kTextLength = 96;

struct Library {
  explicit Library(const char* file)
      : handle(::dlopen(file, RTLD_NOW | RTLD_LOCAL), [](void* open) {
          if (open) ::dlclose(open);
        }) {
    if (!handle) return;
    find("nvmlInit_v2", init);
    find("nvmlShutdown", shutdown);
    find("nvmlErrorString", error_text);
    find("nvmlDeviceGetCount_v2", count);
    find("nvmlDeviceGetHandleByIndex_v2", device);
    find("nvmlDeviceGetName", name);
    find("nvmlDeviceGetMemoryInfo", memory);
  }

  template <typename Function>
  void find(const char* symbol, Function*& function) {
    function = reinterpret_cast<Function*>(::dlsym(handle.get(), symbol));
  }
  // Those without which nothing can be said; an old driver may lack the rest.
  bool complete() const { return init && shutdown && count && device && name; }
  std::string text_of(int code) const { return error_text ? error_text(code) : "error " + std::to_string(code); }

  std::unique_ptr<void, void (*)(void*)> handle;
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  const char* (*error_text)(int) = nullptr;
  int (*count)(unsigned*) = nullptr;
  int (*device)(unsigned, Device*) = nullptr;
  int (*name)(Device, char*, unsigned) = nullptr;
  int (*memory)(Device, Memory*) = nullptr;
};

std::optional<Gpu> describe(const Library& library, unsigned index) {
  Device device = nullptr;
  char text[kTextLength] = "";
  int code = library.device(index, &device);
  if (code == kSuccess) code = library.name(device, text, kTextLength);
  if (code != kSuccess) {
    log_warn("GPU " + std::to_string(index) + " does not answer and is left out: " + library.text_of(code));
    return std::nullopt;
  }
  Gpu gpu;
  gpu.name = text;
  Memory memory{};
  if (library.memory && library.memory(device, &memory) == kSuccess) {
    gpu.memory_bytes = static_cast<int64_t>(memory.total);
  }
  return gpu;
}

}  // namespace

std::vector<Gpu> list_gpus(const std::string& library_file) {
  const char* named = std::getenv("MASBAK_NVML");
  const Library library(named ? named : library_file.c_str());
  std::vector<Gpu> gpus;
  if (!library.handle) return gpus;
  if (!library.complete()) {
    log_warn("NVIDIA's management library lacks functions that every release has; no GPU is listed");
    return gpus;
  }
  if (const int code = library.init(); code != kSuccess) {
    log_warn("NVIDIA's management library does not start, no GPU is listed: " + library.text_of(code));
    return gpus;
  }
  unsigned count = 0;
  if (const int code = library.count(&count); code != kSuccess) {
    log_warn("the GPUs cannot be counted: " + library.text_of(code));
  }
  for (unsigned i = 0; i < count; ++i) {
    if (auto gpu = describe(library, i)) gpus.push_back(std::move(*gpu));
  }
  library.shutdown();
  return gpus;
}

}  // namespace masbak::base

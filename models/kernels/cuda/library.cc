#include "models/kernels/cuda/library.h"

#include <ATen/Context.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <mutex>

#include "base/error.h"

namespace masbak::models::cuda {
namespace {

namespace fs = std::filesystem;

std::atomic<const KernelTable*> of_gpu = nullptr, of_cpu = nullptr;

[[noreturn]] void fail(const std::string& message) { throw base::Error(base::Code::kFailedPrecondition, message); }

// What dlerror says, without its end of line.
std::string last_fault() {
  const char* fault = ::dlerror();
  return fault ? fault : "no reason given";
}

// The folder of the LibTorch that this process runs.
fs::path folder_of_libtorch() {
  Dl_info info;
  const auto* symbol = reinterpret_cast<const void*>(&at::globalContext);
  return ::dladdr(symbol, &info) && info.dli_fname ? fs::path(info.dli_fname).parent_path() : fs::path();
}

fs::path file_of_kernels() {
  if (const char* named = std::getenv("MASBAK_CUDA_KERNELS")) return named;
  std::error_code fault;
  const fs::path program = fs::read_symlink("/proc/self/exe", fault).parent_path();
  const fs::path installed = program.parent_path() / "lib" / "libmasbak_cuda.so";
  return fs::exists(installed) ? installed : program / "libmasbak_cuda.so";
}

void open_driver() {
  if (::dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL)) return;
  fail("device cuda needs NVIDIA's driver, found none (" + last_fault() +
       "); install the driver (release 580 or newer, for CUDA 13), or use --device cpu");
}

void open_libtorch_cuda() {
  const char* named = std::getenv("MASBAK_CUDA_LIBTORCH");
  const fs::path folder = named ? fs::path(named) : folder_of_libtorch();
  const fs::path file = folder / "libtorch_cuda.so";
  if (!fs::exists(file)) {
    fail("device cuda needs libtorch_cuda.so of LibTorch 2.11, not found in " + folder.string() +
         "; run installer/install, or name the folder that has it with MASBAK_CUDA_LIBTORCH");
  }
  if (::dlopen(file.c_str(), RTLD_NOW | RTLD_GLOBAL)) return;
  const std::string fault = last_fault();
  fail(
      "device cuda needs " + file.string() + ", which cannot be opened: " + fault +
      "; the library named is one of NVIDIA's that LibTorch uses. `pip install torch==2.11.0` in an environment of its "
      "own fetches all of them; then set MASBAK_CUDA_LIBTORCH to its site-packages/torch/lib");
}

void check_gpu(const at::Device& device) {
  const auto* guard = c10::impl::device_guard_impl_registry[static_cast<size_t>(at::kCUDA)].load();
  if (!guard) fail("libtorch_cuda.so was opened but brought no CUDA with it; use the one of LibTorch 2.11.0");
  const int count = guard->deviceCount();
  if (count == 0) fail("device cuda needs a GPU, the driver reports none; see nvidia-smi, or use --device cpu");
  if (device.has_index() && device.index() >= count) {
    fail("device " + device.str() + " is not there: this machine has " + std::to_string(count) +
         " GPUs, numbered from 0");
  }
}

}  // namespace

at::Device parse_device(const std::string& text) {
  if (text == "cpu") return at::kCPU;
  if (text == "cuda") return at::Device(at::kCUDA, 0);
  const bool numbered = text.starts_with("cuda:") && text.size() > 5 && text.size() < 8 &&
                        text.find_first_not_of("0123456789", 5) == std::string::npos;
  if (!numbered) base::fail_input("expected device cpu, cuda or cuda:N, found \"" + text + "\"");
  return {at::kCUDA, static_cast<at::DeviceIndex>(std::stoi(text.substr(5)))};
}

const KernelTable& open_kernels(const std::string& file) {
  void* library = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    fail("device cuda needs " + file + ", which cannot be opened: " + last_fault() +
         "; it is built where nvcc of CUDA 13 is found, or name it with MASBAK_CUDA_KERNELS");
  }
  const auto table_of = reinterpret_cast<decltype(&masbak_cuda_kernels)>(::dlsym(library, "masbak_cuda_kernels"));
  if (!table_of) fail(file + " is no library of Masbak's kernels: it has no masbak_cuda_kernels");
  const KernelTable& table = *table_of();
  if (table.version != kKernelVersion) {
    fail(file + " has kernels of version " + std::to_string(table.version) + ", this program expects version " +
         std::to_string(kKernelVersion) + "; build or install both together");
  }
  return table;
}

void open(const at::Device& device) {
  if (device.is_cpu()) return;
  static std::mutex mutex;
  const std::lock_guard<std::mutex> lock(mutex);
  if (of_gpu.load() == nullptr) {
    open_driver();
    open_libtorch_cuda();
    check_gpu(device);
    of_gpu.store(&open_kernels(file_of_kernels().string()));
  }
  check_gpu(device);
}

const KernelTable* kernels_for(const at::Tensor& x) {
  const at::ScalarType type = x.scalar_type();
  if (type != at::kFloat && type != at::kBFloat16 && type != at::kHalf) return nullptr;
  if (x.is_cuda()) return of_gpu.load(std::memory_order_acquire);
  return x.is_cpu() ? of_cpu.load(std::memory_order_acquire) : nullptr;
}

Type type_of(const at::Tensor& x) {
  switch (x.scalar_type()) {
    case at::kFloat: return Type::kFloat32;
    case at::kBFloat16: return Type::kBFloat16;
    case at::kHalf: return Type::kFloat16;
    default: throw base::Error(base::Code::kInternal, "the CUDA kernels compute in float32, bfloat16 and float16");
  }
}

KernelsOnCpu::KernelsOnCpu(const KernelTable& table) { of_cpu.store(&table); }
KernelsOnCpu::~KernelsOnCpu() { of_cpu.store(nullptr); }

struct CurrentStream::State {
  explicit State(const at::Device& device)
      : current(device), stream(c10::impl::VirtualGuardImpl(at::kCUDA).getStream(device)) {}
  c10::DeviceGuard current;
  c10::Stream stream;
};

CurrentStream::CurrentStream(const at::Tensor& x)
    : state_(x.is_cuda() ? std::make_unique<State>(x.device()) : nullptr) {}
CurrentStream::~CurrentStream() = default;

void* CurrentStream::handle() const { return state_ ? state_->stream.native_handle() : nullptr; }

void CurrentStream::check(const char* fault) {
  if (fault) throw base::Error(base::Code::kInternal, std::string("a CUDA kernel failed: ") + fault);
}

}  // namespace masbak::models::cuda

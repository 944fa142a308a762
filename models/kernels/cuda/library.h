// The GPU half of the program, opened when a run asks for it: libtorch_cuda.so (ATen's operators, with cuBLAS, cuDNN
// and NCCL behind it) and libmasbak_cuda.so (the kernels of this folder). A machine without a GPU never touches either.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>

#include "models/kernels/cuda/kernels.h"

namespace masbak::models::cuda {

// Where computation happens: "cpu", "cuda" (the first GPU) or "cuda:N". INVALID_ARGUMENT for another text.
at::Device parse_device(const std::string& text);

// Opens both libraries, once; later calls return at once. Safe from any thread.
//
// libtorch_cuda.so is looked for in the folder MASBAK_CUDA_LIBTORCH (its dependencies are found from there, as in the
// site-packages of a Python environment), else beside the LibTorch that runs; libmasbak_cuda.so is the file
// MASBAK_CUDA_KERNELS, else in lib/ beside the program's folder, else beside the program. FAILED_PRECONDITION,
// which says what is missing and what to do: no driver, a library that cannot be opened, a library of another version,
// no GPU, or no GPU of the number asked for.
void open(const at::Device& device);

// Opens one library of kernels and checks that it fits this program. FAILED_PRECONDITION.
const KernelTable& open_kernels(const std::string& file);

// The kernels for tensors like `x`; null on the CPU, before open(), or for types that they do not know (float64): then
// ATen's operators do the work.
const KernelTable* kernels_for(const at::Tensor& x);

// Tensor types as the kernels name them; only for tensors that kernels_for accepts.
Type type_of(const at::Tensor& x);

// Launches on the current stream of x's device. INTERNAL, with the kernel's name and words, if it refuses its arguments
// or CUDA fails.
template <typename Arguments>
void launch(Launch<Arguments> kernel, const at::Tensor& x, const Arguments& arguments);

// From here to the end of the scope, tensors of the CPU go to `table` too: how the tests run on the CPU what calls the
// kernels. Of this process, not of a thread.
class KernelsOnCpu {
 public:
  explicit KernelsOnCpu(const KernelTable& table);
  ~KernelsOnCpu();
  KernelsOnCpu(const KernelsOnCpu&) = delete;
  KernelsOnCpu& operator=(const KernelsOnCpu&) = delete;
};

// Implementation of launch.
class CurrentStream {
 public:
  explicit CurrentStream(const at::Tensor& x);
  ~CurrentStream();
  void* handle() const;
  static void check(const char* fault);

 private:
  struct State;
  std::unique_ptr<State> state_;  // null on the CPU
};

template <typename Arguments>
void launch(Launch<Arguments> kernel, const at::Tensor& x, const Arguments& arguments) {
  const CurrentStream stream(x);
  CurrentStream::check(kernel(arguments, stream.handle()));
}

}  // namespace masbak::models::cuda

// The grid of a GPU as the bodies see it (grid.h), and how they are started on it.
#pragma once

#include <cuda_runtime.h>

#include "models/kernels/cuda/grid.h"

namespace masbak::models::cuda {

extern __shared__ __align__(16) unsigned char shared_bytes_of_block[];

template <int kThreads>
class DeviceBlock {
  static_assert(kThreads % 32 == 0 && kThreads <= 1024);
  static constexpr int kWarps = kThreads / 32;

 public:
  template <typename T>
  struct PerThread {
    T value;
    MASBAK_DEVICE T& operator[](int) { return value; }
  };

  MASBAK_DEVICE int64_t x() const { return blockIdx.x; }
  MASBAK_DEVICE int64_t y() const { return blockIdx.y; }
  MASBAK_DEVICE int64_t z() const { return blockIdx.z; }
  MASBAK_DEVICE int64_t x_count() const { return gridDim.x; }

  template <typename Work>
  MASBAK_DEVICE void each(const Work& work) {
    work(static_cast<int>(threadIdx.x));
    __syncthreads();
  }
  template <typename T>
  MASBAK_DEVICE PerThread<T> per_thread() {
    return {};
  }
  template <typename T>
  MASBAK_DEVICE T* shared(int64_t bytes) {
    return reinterpret_cast<T*>(shared_bytes_of_block + bytes);
  }
  MASBAK_DEVICE void add_to(int32_t* number, int32_t value) { atomicAdd(number, value); }

  // In a warp each round adds the number of the lane that lies `distance` away, so that all lanes have the same sum;
  // then the warps one after another.
  template <typename T>
  MASBAK_DEVICE T sum(PerThread<T>& numbers) {
    return joined(numbers.value, [](T a, T b) { return a + b; });
  }
  MASBAK_DEVICE float largest(PerThread<float>& numbers) {
    return joined(numbers.value, [](float a, float b) { return a > b ? a : b; });
  }

 private:
  template <typename T, typename Join>
  MASBAK_DEVICE T joined(T value, const Join& join) {
    __shared__ T of_warp[kWarps];
    for (int distance = 16; distance > 0; distance /= 2) {
      value = join(value, __shfl_xor_sync(0xffffffffU, value, distance));
    }
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
    __syncthreads();
    T all = of_warp[0];
    for (int warp = 1; warp < kWarps; ++warp) all = join(all, of_warp[warp]);
    __syncthreads();  // before the next call writes there
    return all;
  }
};

template <typename Body, typename Arguments>
__global__ void __launch_bounds__(Body::kThreads) entry(const Arguments arguments) {
  DeviceBlock<Body::kThreads> block;
  Body::run(block, arguments);
}

// Starts bodies on one stream; after the first failure it starts no more.
class DeviceLauncher {
 public:
  explicit DeviceLauncher(void* stream) : stream_(static_cast<cudaStream_t>(stream)) {}

  template <typename Body, typename Arguments>
  void run(Grid grid, int64_t shared_bytes, const Arguments& arguments) {
    if (fault_ != cudaSuccess) return;
    constexpr int64_t kWithoutAsking = 48 << 10;
    if (shared_bytes > kWithoutAsking) {
      fault_ = cudaFuncSetAttribute(entry<Body, Arguments>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(shared_bytes));
      if (fault_ != cudaSuccess) return;
    }
    const dim3 blocks(static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y), static_cast<unsigned>(grid.z));
    entry<Body, Arguments><<<blocks, Body::kThreads, static_cast<size_t>(shared_bytes), stream_>>>(arguments);
    fault_ = cudaGetLastError();
  }
  const char* error() const { return fault_ == cudaSuccess ? nullptr : cudaGetErrorString(fault_); }

 private:
  cudaStream_t stream_;
  cudaError_t fault_ = cudaSuccess;
};

// One a file, so that nvcc compiles the files side by side.
void add_moe_kernels(KernelTable& table);
void add_latent_decode_kernels(KernelTable& table);
void add_widen_kernels(KernelTable& table);
void add_cross_entropy_kernels(KernelTable& table);

}  // namespace masbak::models::cuda

// What libmasbak_cuda.so hands out.
#include "models/kernels/cuda/device_block.cuh"

extern "C" __attribute__((visibility("default"))) const masbak::models::cuda::KernelTable* masbak_cuda_kernels() {
  using namespace masbak::models::cuda;
  static const KernelTable table = [] {
    KernelTable filled;
    filled.version = kKernelVersion;
    add_moe_kernels(filled);
    add_latent_decode_kernels(filled);
    add_widen_kernels(filled);
    add_cross_entropy_kernels(filled);
    return filled;
  }();
  return &table;
}

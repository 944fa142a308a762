#include "models/kernels/cuda/cross_entropy.h"

#include "models/kernels/cuda/device_block.cuh"

namespace masbak::models::cuda {

void add_cross_entropy_kernels(KernelTable& table) { add_cross_entropy<DeviceLauncher>(table); }

}  // namespace masbak::models::cuda

#include "models/kernels/cuda/moe.h"

#include "models/kernels/cuda/device_block.cuh"

namespace masbak::models::cuda {

void add_moe_kernels(KernelTable& table) { add_moe<DeviceLauncher>(table); }

}  // namespace masbak::models::cuda

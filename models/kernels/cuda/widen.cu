#include "models/kernels/cuda/widen.h"

#include "models/kernels/cuda/device_block.cuh"

namespace masbak::models::cuda {

void add_widen_kernels(KernelTable& table) { add_widen<DeviceLauncher>(table); }

}  // namespace masbak::models::cuda

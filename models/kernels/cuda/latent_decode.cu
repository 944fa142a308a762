#include "models/kernels/cuda/latent_decode.h"

#include "models/kernels/cuda/device_block.cuh"

namespace masbak::models::cuda {

void add_latent_decode_kernels(KernelTable& table) { add_latent_decode<DeviceLauncher>(table); }

}  // namespace masbak::models::cuda

#include "models/kernels/cuda/cross_entropy.h"
#include "models/kernels/cuda/latent_decode.h"
#include "models/kernels/cuda/moe.h"
#include "models/kernels/cuda/widen.h"
#include "tests/models/kernels/cuda/host_grid.h"

namespace masbak::models::cuda {
namespace {

template <Order order>
KernelTable filled() {
  KernelTable table;
  table.version = kKernelVersion;
  add_moe<HostLauncher<order>>(table);
  add_latent_decode<HostLauncher<order>>(table);
  add_widen<HostLauncher<order>>(table);
  add_cross_entropy<HostLauncher<order>>(table);
  return table;
}

}  // namespace

const KernelTable& host_kernels(Order order) {
  static const KernelTable forwards = filled<Order::kForwards>(), backwards = filled<Order::kBackwards>();
  return order == Order::kForwards ? forwards : backwards;
}

}  // namespace masbak::models::cuda

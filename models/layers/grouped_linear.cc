#include "models/layers/grouped_linear.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>

#include <atomic>

#include "models/layers/matrix_product.h"

namespace masbak::models {
namespace {

constexpr int64_t kGroupsPerThread = 4;

// Calls body(e, begin, rows) for each group that has rows. With several groups a thread, each thread takes one group
// after another: a product of a few hundred rows is too short to be shared by threads that then wait for each other.
template <typename Body>
void for_groups(const std::vector<int64_t>& offsets, bool on_cpu, const Body& body) {
  const int64_t groups = static_cast<int64_t>(offsets.size()) - 1, threads = at::get_num_threads();
  int64_t filled = 0;
  for (int64_t e = 0; e < groups; ++e) filled += offsets[e + 1] > offsets[e];
  const auto run = [&](int64_t e) {
    if (offsets[e + 1] > offsets[e]) body(e, offsets[e], offsets[e + 1] - offsets[e]);
  };
  if (!on_cpu || threads == 1 || filled < kGroupsPerThread * threads || at::in_parallel_region()) {
    for (int64_t e = 0; e < groups; ++e) run(e);
    return;
  }
  std::atomic<int64_t> next = 0;
  at::parallel_for(0, threads, 1, [&](int64_t, int64_t) {
    const at::NoGradGuard no_grad;  // the mode is a thread's own
    for (int64_t e = next++; e < groups; e = next++) run(e);
  });
}

}  // namespace

// A loop over the groups, not at::_grouped_mm: that reaches the rate of the plain product and no more, and the loop has
// no demands on alignment and writes into one result.
at::Tensor grouped_product(const at::Tensor& x_TI, const at::Tensor& w_EOI, const std::vector<int64_t>& offsets) {
  const at::NoGradGuard no_grad;
  at::Tensor y_TO = at::empty({x_TI.size(0), w_EOI.size(1)}, x_TI.options());
  for_groups(offsets, x_TI.is_cpu(), [&](int64_t e, int64_t begin, int64_t rows) {
    at::Tensor out = y_TO.narrow(0, begin, rows);
    multiply_into(out, x_TI.narrow(0, begin, rows), w_EOI.select(0, e));
  });
  return y_TO;
}

void add_grouped_product(at::Tensor& y_TO, const at::Tensor& x_TI, const at::Tensor& w_EOI, double scale,
                         const std::vector<int64_t>& offsets) {
  const at::NoGradGuard no_grad;
  for_groups(offsets, x_TI.is_cpu(), [&](int64_t e, int64_t begin, int64_t rows) {
    at::Tensor out = y_TO.narrow(0, begin, rows);
    add_product_into(out, x_TI.narrow(0, begin, rows), w_EOI.select(0, e), scale);
  });
}

at::Tensor grouped_outer(const at::Tensor& y_TO, const at::Tensor& x_TI, const std::vector<int64_t>& offsets) {
  const at::NoGradGuard no_grad;
  const int64_t groups = static_cast<int64_t>(offsets.size()) - 1;
  const bool narrow = is_narrow_outer(y_TO, x_TI);
  at::Tensor g_EOI =
      at::empty({groups, y_TO.size(1), x_TI.size(1)}, narrow ? x_TI.options().dtype(at::kFloat) : x_TI.options());
  for (int64_t e = 0; e < groups; ++e) {
    if (offsets[e + 1] == offsets[e]) g_EOI.select(0, e).zero_();
  }
  for_groups(offsets, x_TI.is_cpu(), [&](int64_t e, int64_t begin, int64_t rows) {
    at::Tensor out = g_EOI.select(0, e);
    const at::Tensor y = y_TO.narrow(0, begin, rows), x = x_TI.narrow(0, begin, rows);
    if (narrow) {
      out.copy_(narrow_outer(y, x));
    } else {
      at::mm_out(out, y.t(), x);
    }
  });
  return g_EOI;
}

}  // namespace masbak::models

#include "models/layers/grouped_linear.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <atomic>

#include "base/error.h"

namespace masbak::models {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

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

at::Tensor multiply(const at::Tensor& x_TI, const at::Tensor& w_EOI, const std::vector<int64_t>& offsets) {
  at::Tensor y_TO = at::empty({x_TI.size(0), w_EOI.size(1)}, x_TI.options());
  for_groups(offsets, x_TI.is_cpu(), [&](int64_t e, int64_t begin, int64_t rows) {
    at::Tensor out = y_TO.narrow(0, begin, rows);
    at::mm_out(out, x_TI.narrow(0, begin, rows), w_EOI.select(0, e).t());
  });
  return y_TO;
}

// A loop over the groups, not at::_grouped_mm: on a CPU both reach the rate of the plain product, and the
// loop has no demands on alignment and writes into one result.
struct GroupedLinear : torch::autograd::Function<GroupedLinear> {
  static Variable forward(AutogradContext* context, const Variable& x_TI, const Variable& w_EOI,
                          std::vector<int64_t> offsets) {
    context->saved_data["offsets"] = offsets;
    context->saved_data["x_wanted"] = x_TI.requires_grad();
    context->saved_data["w_wanted"] = w_EOI.requires_grad();
    // The input is kept only for the gradient of the weight.
    context->save_for_backward({w_EOI.requires_grad() ? x_TI : at::Tensor(), w_EOI});
    return multiply(x_TI, w_EOI, offsets);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x_TI = saved[0], &w_EOI = saved[1];
    const at::Tensor dy_TO = gradients[0].contiguous();
    const std::vector<int64_t> offsets = context->saved_data["offsets"].toIntVector();
    at::Tensor dx_TI, dw_EOI;
    if (context->saved_data["x_wanted"].toBool()) {
      dx_TI = multiply(dy_TO, w_EOI.transpose(1, 2), offsets);
    }
    if (context->saved_data["w_wanted"].toBool()) {
      dw_EOI = at::zeros_like(w_EOI, at::MemoryFormat::Contiguous);
      for_groups(offsets, x_TI.is_cpu(), [&](int64_t e, int64_t begin, int64_t rows) {
        at::Tensor out = dw_EOI.select(0, e);
        at::mm_out(out, dy_TO.narrow(0, begin, rows).t(), x_TI.narrow(0, begin, rows));
      });
    }
    return {dx_TI, dw_EOI, at::Tensor()};
  }
};

}  // namespace

at::Tensor grouped_linear(const at::Tensor& x_TI, const at::Tensor& w_EOI, const std::vector<int64_t>& offsets) {
  if (offsets.size() != static_cast<size_t>(w_EOI.size(0)) + 1 || offsets.front() != 0 ||
      offsets.back() != x_TI.size(0)) {
    throw base::Error(base::Code::kInternal,
                      "the offsets of a grouped product must run from 0 to its rows, one a group");
  }
  return GroupedLinear::apply(x_TI, w_EOI, offsets);
}

}  // namespace masbak::models

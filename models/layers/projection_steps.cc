#include "models/layers/projection_steps.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/mm.h>

#include <utility>

#include "base/error.h"
#include "models/layers/differentiable.h"

namespace masbak::models {
namespace {

// y += scale * B A x of rows in groups, and what enters B.
ChangedProduct add_change(at::Tensor y_TO, const at::Tensor& x_TI, const at::Tensor& a_ERI, const at::Tensor& b_EOR,
                          double scale, const std::vector<int64_t>& offsets) {
  at::Tensor h_TR = grouped_product(x_TI, a_ERI, offsets);
  if (scale != 1) h_TR.mul_(scale);
  if (y_TO.scalar_type() == h_TR.scalar_type()) {
    add_grouped_product(y_TO, h_TR, b_EOR, 1, offsets);
  } else {
    y_TO.add_(grouped_product(h_TR, b_EOR, offsets));
  }
  return {y_TO, h_TR};
}

at::Tensor stored_weight(const Projection& projection) {
  const auto* own = dynamic_cast<const BackwardProjection*>(&projection);
  return own ? own->stored_weight() : at::Tensor();
}

}  // namespace

at::Tensor multiply_back(const Projection& projection, const at::Tensor& dy_TO) {
  const at::NoGradGuard no_grad;
  if (const auto* own = dynamic_cast<const BackwardProjection*>(&projection)) return own->multiply_back(dy_TO);
  return at::mm(dy_TO, projection.weight().to(dy_TO.scalar_type()));
}

ChangedProduct multiply_changed(const Projection& projection, const at::Tensor& x_TI, const LowRank& change) {
  const at::NoGradGuard no_grad;
  const at::Tensor a = change.a.unsqueeze(0), b = change.b.unsqueeze(0);
  const std::vector<int64_t> all{0, x_TI.size(0)};
  const at::Tensor w = stored_weight(projection);
  if (w.defined()) return grouped_changed_product(x_TI, w.unsqueeze(0), a, b, change.scale, all, projection.bias());
  return add_change(projection.forward(x_TI), x_TI, a, b, change.scale, all);
}

ChangedProduct multiply_back_changed(const Projection& projection, const at::Tensor& dy_TO, const LowRank& change) {
  const at::NoGradGuard no_grad;
  const at::Tensor a = change.a.t().unsqueeze(0), b = change.b.t().unsqueeze(0);
  const std::vector<int64_t> all{0, dy_TO.size(0)};
  const at::Tensor w = stored_weight(projection);
  if (w.defined()) return grouped_changed_product(dy_TO, w.t().unsqueeze(0), b, a, change.scale, all);
  return add_change(multiply_back(projection, dy_TO), dy_TO, b, a, change.scale, all);
}

std::shared_ptr<const ExpertSteps> steps_of(const std::shared_ptr<ExpertProjection>& projection) {
  auto steps = std::dynamic_pointer_cast<const ExpertSteps>(projection);
  if (!steps) throw base::Error(base::Code::kInternal, "an expert projection without steps");
  return steps;
}

ChangedProduct ExpertSteps::multiply_changed(const at::Tensor& x_TI, const std::vector<int64_t>& offsets,
                                             const LowRank& change) const {
  return add_change(multiply(x_TI, offsets, nullptr), x_TI, change.a, change.b, change.scale, offsets);
}

ChangedProduct ExpertSteps::multiply_back_changed(const at::Tensor& dy_TO, const std::vector<int64_t>& offsets,
                                                  const LowRank& change) const {
  return add_change(multiply_back(dy_TO, offsets, nullptr, true), dy_TO, change.b.transpose(1, 2),
                    change.a.transpose(1, 2), change.scale, offsets);
}

at::Tensor ExpertSteps::forward(const at::Tensor& x_TI, const std::vector<int64_t>& offsets) const {
  if (offsets.size() != static_cast<size_t>(experts()) + 1 || offsets.front() != 0 || offsets.back() != x_TI.size(0)) {
    throw base::Error(base::Code::kInternal,
                      "the offsets of a grouped product must run from 0 to its rows, one a group");
  }
  std::vector<at::Tensor> inputs = trained();
  const bool trains = any_gradient(inputs);
  inputs.insert(inputs.begin(), x_TI);
  const auto kept = any_gradient(inputs) ? std::make_shared<Kept>() : nullptr;
  const at::NoGradGuard no_grad;
  at::Tensor y_TO = multiply(x_TI, offsets, kept.get());
  const at::Tensor kept_TI = trains ? x_TI : at::Tensor();
  const auto back = [self = shared_from_this(), offsets, kept, kept_TI](const at::Tensor& dy_TO,
                                                                        const std::vector<bool>& wanted) {
    std::vector<at::Tensor> gradients{self->multiply_back(dy_TO, offsets, kept.get(), wanted[0])};
    if (kept_TI.defined()) {
      for (at::Tensor& own : self->gradients(kept_TI, dy_TO, {}, offsets, *kept)) gradients.push_back(std::move(own));
    }
    gradients.resize(wanted.size());
    return gradients;
  };
  const at::AutoGradMode with_gradient(kept != nullptr);
  return differentiable(y_TO, inputs, back);
}

}  // namespace masbak::models

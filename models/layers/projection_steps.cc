#include "models/layers/projection_steps.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/mm.h>

#include <utility>

#include "base/error.h"
#include "models/layers/differentiable.h"

namespace masbak::models {

at::Tensor multiply_back(const Projection& projection, const at::Tensor& dy_TO) {
  const at::NoGradGuard no_grad;
  if (const auto* own = dynamic_cast<const BackwardProjection*>(&projection)) return own->multiply_back(dy_TO);
  return at::mm(dy_TO, projection.weight().to(dy_TO.scalar_type()));
}

std::shared_ptr<const ExpertSteps> steps_of(const std::shared_ptr<ExpertProjection>& projection) {
  auto steps = std::dynamic_pointer_cast<const ExpertSteps>(projection);
  if (!steps) throw base::Error(base::Code::kInternal, "an expert projection without steps");
  return steps;
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

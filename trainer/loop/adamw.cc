#include "trainer/loop/adamw.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include "base/error.h"

namespace masbak::trainer {

AdamW::AdamW(std::vector<at::Tensor*> tensors, const AdamWOptions& options) : options_(options) {
  int64_t count = 0;
  for (const at::Tensor* tensor : tensors) {
    if (tensor->scalar_type() != at::kFloat) {
      throw base::Error(base::Code::kInternal, "AdamW trains float32 tensors only");
    }
    count += tensor->numel();
  }
  // Where the first one is, on a GPU say.
  const at::TensorOptions options_of_all =
      at::TensorOptions().dtype(at::kFloat).device(tensors.empty() ? at::Device(at::kCPU) : tensors.front()->device());
  parameters_ = at::zeros({count}, options_of_all);
  gradients_ = at::zeros_like(parameters_);
  first_moment_ = at::zeros_like(parameters_);
  second_moment_ = at::zeros_like(parameters_);
  steps_ = at::zeros({}, options_of_all);
  shares_ = {Share{count}};
  int64_t begin = 0;
  for (at::Tensor* tensor : tensors) {
    const int64_t size = tensor->numel();
    at::Tensor view = parameters_.narrow(0, begin, size).view(tensor->sizes());
    view.copy_(tensor->detach());
    *tensor = view.detach().requires_grad_();
    tensor->mutable_grad() = gradients_.narrow(0, begin, size).view(tensor->sizes());
    begin += size;
  }
}

void AdamW::zero_gradients() { gradients_.zero_(); }

double AdamW::clip_gradients(double max_norm) {
  const double norm = at::linalg_vector_norm(gradients_, 2).item<double>();
  // The small number keeps the quotient finite, as in PyTorch's clip_grad_norm_.
  if (max_norm > 0 && norm + 1e-6 > max_norm) gradients_.mul_(max_norm / (norm + 1e-6));
  return norm;
}

void AdamW::set_shares(const std::vector<Share>& shares) {
  shares_.clear();
  int64_t count = 0;
  for (const Share& share : shares) {
    count += share.numbers;
    const bool alike =
        !shares_.empty() && shares_.back().factor == share.factor && shares_.back().decays == share.decays;
    if (alike) {
      shares_.back().numbers += share.numbers;
    } else {
      shares_.push_back(share);
    }
  }
  if (count != parameters_.numel()) throw base::Error(base::Code::kInternal, "AdamW's shares must cover its numbers");
}

void AdamW::step(double learning_rate) {
  const at::NoGradGuard no_grad;
  steps_.add_(1);
  int64_t begin = 0;
  for (const Share& share : shares_) {
    const auto part = [&](const at::Tensor& all) { return all.narrow(0, begin, share.numbers); };
    at::_fused_adamw_({part(parameters_)}, {part(gradients_)}, {part(first_moment_)}, {part(second_moment_)}, {},
                      {steps_}, learning_rate * share.factor, options_.beta1, options_.beta2,
                      share.decays ? options_.weight_decay : 0.0, options_.epsilon, /*amsgrad=*/false,
                      /*maximize=*/false);
    begin += share.numbers;
  }
  // What is derived from the parameters (LoRA's casts, DoRA's norms) looks at their version, which the operator on
  // lists of tensors leaves as it was.
  parameters_.unsafeGetTensorImpl()->bump_version();
}

int64_t AdamW::steps() const { return static_cast<int64_t>(steps_.item<float>()); }
void AdamW::set_steps(int64_t steps) { steps_.fill_(static_cast<double>(steps)); }

}  // namespace masbak::trainer

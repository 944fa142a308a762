#include "trainer/loop/adamw.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

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
  parameters_ = at::zeros({count}, at::kFloat);
  gradients_ = at::zeros_like(parameters_);
  first_moment_ = at::zeros_like(parameters_);
  second_moment_ = at::zeros_like(parameters_);
  steps_ = at::zeros({}, at::kFloat);
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

void AdamW::step(double learning_rate) {
  const at::NoGradGuard no_grad;
  steps_.add_(1);
  at::_fused_adamw_({parameters_}, {gradients_}, {first_moment_}, {second_moment_}, {}, {steps_}, learning_rate,
                    options_.beta1, options_.beta2, options_.weight_decay, options_.epsilon, /*amsgrad=*/false,
                    /*maximize=*/false);
}

int64_t AdamW::steps() const { return static_cast<int64_t>(steps_.item<float>()); }
void AdamW::set_steps(int64_t steps) { steps_.fill_(static_cast<double>(steps)); }

}  // namespace masbak::trainer

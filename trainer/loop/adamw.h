// AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) over one flat float32 buffer.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace masbak::trainer {

// PyTorch's defaults.
struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0;
};

// Parameters, gradients and both moments each lie in one buffer, so that a step is a few passes over memory
// however many tensors there are. Not thread-safe.
class AdamW {
 public:
  // Moves the tensors' numbers into the buffer: each of `tensors` becomes a view of it that requires a
  // gradient, and its .grad a view of gradients(). All must be float32.
  explicit AdamW(std::vector<at::Tensor*> tensors, const AdamWOptions& options = {});

  void zero_gradients();
  // Scales the gradients down to a norm of at most `max_norm` (0: never) and returns their norm before.
  double clip_gradients(double max_norm);
  void step(double learning_rate);

  // Learning rates and decay of the tensors, in their order: `factor` times step()'s rate. Without it all are alike.
  struct Share {
    int64_t numbers = 0;
    double factor = 1;
    bool decays = true;
  };
  void set_shares(const std::vector<Share>& shares);

  int64_t steps() const;
  void set_steps(int64_t steps);
  // [numbers]; write to them through copy_ only.
  at::Tensor& parameters() { return parameters_; }
  at::Tensor& gradients() { return gradients_; }
  at::Tensor& first_moment() { return first_moment_; }
  at::Tensor& second_moment() { return second_moment_; }

 private:
  const AdamWOptions options_;
  at::Tensor parameters_, gradients_, first_moment_, second_moment_;
  std::vector<Share> shares_;  // neighbours that are alike joined to one
  at::Tensor steps_;           // float32 scalar, as the fused kernel wants it
};

}  // namespace masbak::trainer

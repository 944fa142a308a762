#include "trainer/objectives/scored_pass.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/tensor.h>

#include <algorithm>

namespace masbak::trainer {

ScoredPass::ScoredPass(models::CausalModel& model, const LabelledBatch& batch,
                       std::vector<models::RouterRecord>* routers)
    : model_(model), batch_(batch) {
  const int64_t rows = batch.labelled(), step = logit_rows(model.info().vocabulary, sizeof(float));
  const at::Device device = model.embedding_weight().device();
  hidden_ND_ = model.hidden(batch.batch, routers).index_select(0, batch.rows_N.to(device));
  targets_N_ = batch.targets_N.to(device);
  const at::NoGradGuard no_grad;
  for (int64_t begin = 0; begin < rows; begin += step) {
    const int64_t count = std::min(step, rows - begin);
    const at::Tensor logits_NV = model.logits(hidden_ND_.detach().narrow(0, begin, count)).to(at::kFloat);
    const at::Tensor chosen_N1 = logits_NV.gather(1, targets_N_.narrow(0, begin, count).unsqueeze(1));
    const at::Tensor found_N1 = (chosen_N1 - logits_NV.logsumexp(1, true)).to(at::kDouble).cpu().contiguous();
    const auto* numbers = found_N1.const_data_ptr<double>();
    log_probs_.insert(log_probs_.end(), numbers, numbers + count);
  }
}

void ScoredPass::backward(const std::vector<double>& by_row, const at::Tensor& also) {
  const int64_t rows = batch_.labelled(), step = logit_rows(model_.info().vocabulary, sizeof(float));
  const at::Tensor by_N =
      at::tensor(at::ArrayRef<double>(by_row), at::TensorOptions().dtype(at::kFloat)).to(hidden_ND_.device());
  at::Tensor gradient_ND = at::empty_like(hidden_ND_.detach());
  for (int64_t begin = 0; begin < rows; begin += step) {
    const int64_t count = std::min(step, rows - begin);
    const at::Tensor chunk_ND = hidden_ND_.detach().narrow(0, begin, count).requires_grad_();
    const at::Tensor logits_NV = model_.logits(chunk_ND);
    at::Tensor numbers_NV = logits_NV.detach().to(at::kFloat, false, true);
    const at::Tensor by_N1 = by_N.narrow(0, begin, count).unsqueeze(1);
    // d log softmax(z)_t / dz = 1(t) - softmax(z)
    numbers_NV.sub_(numbers_NV.logsumexp(1, true)).exp_().mul_(-by_N1);
    numbers_NV.scatter_add_(1, targets_N_.narrow(0, begin, count).unsqueeze(1), by_N1);
    logits_NV.backward(numbers_NV.to(logits_NV.scalar_type()));
    gradient_ND.narrow(0, begin, count).copy_(chunk_ND.grad());
  }
  backward_through(hidden_ND_, gradient_ND, also);
}

}  // namespace masbak::trainer

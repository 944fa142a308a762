#include "trainer/objectives/router_loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/bincount.h>

#include <numeric>

#include "base/error.h"

namespace masbak::trainer {
namespace {

// How often each expert was chosen, float32 [E].
at::Tensor choices(const at::Tensor& chosen_TK, int64_t experts) {
  return at::bincount(chosen_TK.flatten(), {}, experts).to(at::kFloat);
}

at::Tensor sequence_wise(const models::RouterRecord& record, const std::vector<int64_t>& lengths) {
  const int64_t experts = record.scores_TE.size(1), per_token = record.chosen_TK.size(1);
  const at::Tensor share_TE = record.scores_TE / record.scores_TE.sum(1, true).clamp_min(1e-20);
  at::Tensor sum;
  int64_t begin = 0;
  for (const int64_t length : lengths) {
    const at::Tensor load_E = choices(record.chosen_TK.narrow(0, begin, length), experts) *
                              (static_cast<double>(experts) / static_cast<double>(per_token * length));
    const at::Tensor one = (load_E * share_TE.narrow(0, begin, length).mean(0)).sum();
    sum = sum.defined() ? sum + one : one;
    begin += length;
  }
  return sum / static_cast<double>(lengths.size());
}

}  // namespace

RouterLoss::RouterLoss(const models::ModelInfo& model, double coefficient)
    : coefficient_(coefficient),
      sequence_wise_(model.family.starts_with("deepseek") || model.family == "glm4_moe_lite") {
  if (coefficient > 0 && model.experts == 0) {
    throw base::Error(base::Code::kFailedPrecondition,
                      "the model has no experts, so that there is no router to balance; remove the key or set it to 0",
                      {"", 0, "training.router_aux_loss_coef"});
  }
}

at::Tensor RouterLoss::operator()(const std::vector<models::RouterRecord>& records,
                                  const std::vector<int64_t>& lengths) const {
  const int64_t tokens = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  at::Tensor sum, chosen_E, scores_E;
  for (const models::RouterRecord& record : records) {
    if (sequence_wise_) {
      const at::Tensor one = sequence_wise(record, lengths);
      sum = sum.defined() ? sum + one : one;
      continue;
    }
    const at::Tensor load_E = choices(record.chosen_TK.narrow(0, 0, tokens), record.scores_TE.size(1));
    const at::Tensor score_E = record.scores_TE.narrow(0, 0, tokens).to(at::kFloat).sum(0);
    chosen_E = chosen_E.defined() ? chosen_E + load_E : load_E;
    scores_E = scores_E.defined() ? scores_E + score_E : score_E;
  }
  if (sequence_wise_) return sum;
  const auto rows = static_cast<double>(tokens) * static_cast<double>(records.size());
  return (chosen_E / rows * (scores_E / rows)).sum() * static_cast<double>(scores_E.size(0));
}

}  // namespace masbak::trainer

#include "trainer/loop/trainer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "trainer/objectives/sft.h"

namespace masbak::trainer {
namespace {

// Sums over the micro-batches of one step.
class RouterSums {
 public:
  // Only the first `tokens` of each record count: the rest fill the batch up.
  void add(const std::vector<models::RouterRecord>& records, int64_t tokens) {
    if (sums_.empty()) sums_.resize(records.size());
    for (size_t i = 0; i < records.size(); ++i) {
      const at::Tensor scores_TE = records[i].scores_TE.detach().narrow(0, 0, tokens).to(at::kFloat);
      const at::Tensor share_TE = scores_TE / scores_TE.sum(1, true).clamp_min(1e-20);
      sums_[i].entropy -= at::xlogy(share_TE, share_TE).sum(at::kDouble).item<double>();
      sums_[i].tokens += scores_TE.size(0);
      const at::Tensor counts_E =
          at::bincount(records[i].chosen_TK.narrow(0, 0, tokens).flatten(), {}, scores_TE.size(1)).cpu();
      const auto* counts = counts_E.const_data_ptr<int64_t>();
      sums_[i].counts.resize(static_cast<size_t>(counts_E.numel()));
      for (size_t e = 0; e < sums_[i].counts.size(); ++e) sums_[i].counts[e] += counts[e];
    }
  }

  RouterStats stats() const {
    RouterStats stats;
    for (const Layer& layer : sums_) {
      double all = 0;
      for (int64_t count : layer.counts) all += static_cast<double>(count);
      std::vector<double> load;
      for (int64_t count : layer.counts) load.push_back(static_cast<double>(count) / std::max(all, 1.0));
      stats.load.push_back(std::move(load));
      stats.entropy += layer.entropy / static_cast<double>(layer.tokens) / static_cast<double>(sums_.size());
    }
    return stats;
  }

 private:
  struct Layer {
    double entropy = 0;
    int64_t tokens = 0;
    std::vector<int64_t> counts;
  };
  std::vector<Layer> sums_;
};

}  // namespace

Trainer::Trainer(models::CausalModel& model, adapters::Adapter& adapter, const TrainingConfig& training)
    : model_(model), adapter_(adapter), training_(training) {
  std::vector<at::Tensor*> tensors;
  for (adapters::LoraFactors& pair : adapter_.factors) {
    tensors.push_back(&pair.a);
    tensors.push_back(&pair.b);
  }
  optimizer_ = std::make_unique<AdamW>(std::move(tensors));
  adapters::attach(model_, adapter_);
}

StepResult Trainer::step(const std::vector<std::vector<TokenView>>& micro_batches, double learning_rate) {
  StepResult result;
  std::vector<LabelledBatch> batches;
  for (const auto& examples : micro_batches) {
    batches.push_back(label_batch(examples, model_.info().vocabulary, /*fill=*/true));
    result.labelled += batches.back().labelled();
    result.tokens += batches.back().tokens;
  }
  optimizer_->zero_gradients();
  adapter_.dropout->training = true;
  RouterSums routers;
  std::vector<models::RouterRecord> records;
  double sum = 0;
  for (const LabelledBatch& batch : batches) {
    const bool mixture = model_.info().experts > 0 && batch.labelled() > 0;
    sum += sft_backward(model_, batch, result.labelled, mixture ? &records : nullptr);
    if (mixture) routers.add(records, batch.tokens);
    records.clear();
  }
  adapter_.dropout->training = false;
  result.loss = sum / static_cast<double>(std::max<int64_t>(result.labelled, 1));
  result.grad_norm = optimizer_->clip_gradients(training_.max_grad_norm);
  if (!std::isfinite(result.loss) || !std::isfinite(result.grad_norm)) {
    throw base::Error(base::Code::kAborted,
                      "the " + std::string(std::isfinite(result.loss) ? "gradient" : "loss") +
                          " is not finite; lower learning_rate or max_grad_norm, or look at the examples of this step");
  }
  result.routers = routers.stats();
  optimizer_->step(learning_rate, training_.weight_decay);
  model_.weights_changed();
  return result;
}

double Trainer::evaluate(const Examples& examples) {
  double sum = 0;
  int64_t labelled = 0;
  for (int64_t begin = 0; begin < examples.size(); begin += training_.batch_size) {
    std::vector<TokenView> batch;
    const int64_t end = std::min(examples.size(), begin + training_.batch_size);
    for (int64_t i = begin; i < end; ++i) batch.push_back(examples[i]);
    const LabelledBatch labels = label_batch(batch, model_.info().vocabulary, /*fill=*/true);
    sum += sft_loss(model_, labels);
    labelled += labels.labelled();
  }
  return sum / static_cast<double>(std::max<int64_t>(labelled, 1));
}

}  // namespace masbak::trainer

#include "trainer/loop/trainer.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/bincount.h>
#include <ATen/ops/xlogy.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

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

bool StepResult::finite() const { return std::isfinite(loss) && std::isfinite(grad_norm); }

base::Error not_finite(const StepResult& result) {
  return base::Error(base::Code::kAborted,
                     "the " + std::string(std::isfinite(result.loss) ? "gradient" : "loss") +
                         " is not finite; lower learning_rate or max_grad_norm, or look at the examples of this step");
}

Trainer::Trainer(models::CausalModel& model, adapters::Adapter& adapter, const std::string& objective,
                 const TrainingConfig& training, bool adapter_is_old)
    : model_(model), adapter_(adapter), training_(training), drops_(objective == "sft") {
  if (needs_reference(objective)) {
    reference_ = model_.share();
    if (adapter_is_old) {
      reference_adapter_ = adapters::copy_of(adapter_);
      adapters::attach(*reference_, reference_adapter_);
    }
  }
  std::vector<at::Tensor*> tensors;
  std::vector<AdamW::Share> shares;
  adapters::initialise(adapter_, model_);
  for (const adapters::TrainedTensor& trained : adapters::trained_tensors(adapter_, training.learning_rate)) {
    tensors.push_back(trained.tensor);
    shares.push_back({trained.tensor->numel(), trained.learning_rate_factor, trained.decays});
  }
  optimizer_ = std::make_unique<AdamW>(std::move(tensors), AdamWOptions{training.adam_beta1, training.adam_beta2,
                                                                        training.adam_epsilon, training.weight_decay});
  optimizer_->set_shares(shares);
  std::unique_ptr<models::CausalModel> base = model_.share();
  adapters::attach(model_, adapter_);
  model_.checkpoint_gradients(training.checkpointing.of(model_.info().layers), adapter_.dropout->generator);
  if (training.neftune_noise_alpha > 0) {
    noise_ = std::make_unique<EmbeddingNoise>(training.neftune_noise_alpha, adapter_.dropout->generator);
    noise_->attach(model_);
  }
  passes_ = std::make_unique<Passes>(model_, std::move(base), adapter_, *optimizer_, objective, training_,
                                     reference_.get(), noise_.get());
}

StepResult Trainer::compute(const std::vector<std::vector<TokenView>>& micro_batches) {
  StepResult result;
  int64_t all = 0;
  for (const auto& examples : micro_batches) all += passes_->objective().weight(examples);
  passes_->begin_step();
  adapter_.dropout->training = drops_;
  RouterSums routers;
  double loss = 0;
  for (const auto& examples : micro_batches) {
    for (const auto& [weight, batch] : passes_->backward(examples, all)) {
      const double share = static_cast<double>(weight) / static_cast<double>(all);
      loss += share * batch.loss;
      result.router_loss += share * batch.router_loss;
      result.tokens += batch.tokens;
      for (const auto& [name, value] : batch.metrics) result.metrics[name] += share * value;
      if (!batch.routers.empty()) routers.add(batch.routers, batch.tokens);
    }
  }
  passes_->end_step();
  adapter_.dropout->training = false;
  result.loss = loss + training_.router_aux_loss_coef * result.router_loss;
  result.grad_norm = optimizer_->clip_gradients(training_.max_grad_norm);
  result.routers = routers.stats();
  return result;
}

void Trainer::apply(double learning_rate) {
  optimizer_->step(learning_rate);
  model_.weights_changed();
}

StepResult Trainer::step(const std::vector<std::vector<TokenView>>& micro_batches, double learning_rate) {
  StepResult result = compute(micro_batches);
  if (!result.finite()) throw not_finite(result);
  apply(learning_rate);
  return result;
}

std::vector<at::Tensor> Trainer::second_moments() {
  std::vector<at::Tensor> moments;
  int64_t begin = 0;
  for (const adapters::TrainedTensor& trained : adapters::trained_tensors(adapter_)) {
    const int64_t count = trained.tensor->numel();
    moments.push_back(optimizer_->second_moment().narrow(0, begin, count).view(trained.tensor->sizes()));
    begin += count;
  }
  return moments;
}

EvalResult Trainer::evaluate(const Examples& examples) {
  EvalResult result;
  const int64_t rows = training_.eval_rows();
  int64_t all = 0;
  for (int64_t begin = 0; begin < examples.size(); begin += rows) {
    std::vector<TokenView> batch;
    const int64_t end = std::min(examples.size(), begin + rows);
    for (int64_t i = begin; i < end; ++i) batch.push_back(examples[i]);
    for (const auto& [weight, found] : passes_->evaluate(batch)) {
      all += weight;
      result.loss += static_cast<double>(weight) * found.loss;
      for (const auto& [name, value] : found.metrics) result.metrics[name] += static_cast<double>(weight) * value;
    }
  }
  const auto count = static_cast<double>(std::max<int64_t>(all, 1));
  result.loss /= count;
  for (auto& [name, value] : result.metrics) value /= count;
  return result;
}

}  // namespace masbak::trainer

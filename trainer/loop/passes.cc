#include "trainer/loop/passes.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "models/layers/threads.h"

namespace masbak::trainer {
namespace {

// Fewer tokens than this are too few for a thread of their own: the matrix products would lose more than the threads
// gain. With as few as these it still pays, the more so where other programs run: threads that share each operation
// wait for the slowest some thousands of times a step.
constexpr int64_t kFewestTokens = 64;
// A part may be that many times the mean before the others wait too long for it.
constexpr double kUneven = 1.25;

// Whether backward() over the parts of a batch, each with its share, adds up to backward() over all of it: not where
// examples are compared with one another (kto), where the loss is a mean over something else than `weight` (orpo), or
// where the routers' loss looks at the whole batch.
bool is_sum_over_examples(const std::string& objective, const TrainingConfig& training) {
  return (objective == "sft" || objective == "dpo") && training.router_aux_loss_coef == 0;
}

}  // namespace

std::vector<std::vector<size_t>> divide(const std::vector<TokenView>& examples, int64_t most) {
  std::vector<size_t> order(examples.size());
  std::iota(order.begin(), order.end(), 0);
  const std::vector<std::vector<size_t>> whole{order};
  int64_t all = 0;
  for (const TokenView& example : examples) all += example.tokens();
  const int64_t count = std::min({most, static_cast<int64_t>(examples.size()), all / kFewestTokens});
  if (count < 2) return whole;
  // The longest first, each to the part that has least.
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return examples[a].tokens() > examples[b].tokens(); });
  std::vector<std::vector<size_t>> parts(static_cast<size_t>(count));
  std::vector<int64_t> held(parts.size(), 0);
  for (const size_t example : order) {
    const auto least = static_cast<size_t>(std::min_element(held.begin(), held.end()) - held.begin());
    parts[least].push_back(example);
    held[least] += examples[example].tokens();
  }
  const int64_t largest = *std::max_element(held.begin(), held.end());
  if (static_cast<double>(largest * count) > kUneven * static_cast<double>(all)) return whole;
  for (std::vector<size_t>& part : parts) std::sort(part.begin(), part.end());
  return parts;
}

Passes::Passes(models::CausalModel& model, std::unique_ptr<models::CausalModel> base, adapters::Adapter& adapter,
               AdamW& optimizer, std::string objective, const TrainingConfig& training, models::CausalModel* reference,
               const EmbeddingNoise* noise)
    : base_(std::move(base)),
      adapter_(adapter),
      optimizer_(optimizer),
      objective_name_(std::move(objective)),
      training_(training),
      reference_(reference),
      dropout_(adapter.dropout->probability) {
  Seat& first = seats_.emplace_back();
  first.gradients = optimizer_.gradients();
  first.objective = make_objective(objective_name_, training_, model, reference_, noise);
}

std::vector<std::vector<TokenView>> Passes::parts(const std::vector<TokenView>& examples, const std::string& objective,
                                                  const TrainingConfig& training, double dropout) {
  // Dropout and noise draw one stream of random numbers for the whole batch; a GPU takes it whole.
  const bool draws = dropout > 0 || training.neftune_noise_alpha > 0;
  const bool divides = is_sum_over_examples(objective, training) && !draws && training.device == "cpu";
  std::vector<std::vector<TokenView>> parts;
  for (const std::vector<size_t>& indices : divide(examples, divides ? models::threads_here() : 1)) {
    std::vector<TokenView>& part = parts.emplace_back();
    for (const size_t index : indices) part.push_back(examples[index]);
  }
  return parts;
}

Passes::Seat& Passes::seat(size_t index) {
  while (seats_.size() <= index) {
    Seat own;
    own.gradients = at::zeros_like(optimizer_.gradients());
    own.adapter = std::make_unique<adapters::Adapter>(adapter_);
    int64_t begin = 0;
    for (const adapters::TrainedTensor& trained : adapters::trained_tensors(*own.adapter)) {
      const int64_t size = trained.tensor->numel();
      *trained.tensor = trained.tensor->detach().requires_grad_();
      trained.tensor->mutable_grad() = own.gradients.narrow(0, begin, size).view(trained.tensor->sizes());
      begin += size;
    }
    own.model = base_->share();
    adapters::attach(*own.model, *own.adapter);
    own.model->checkpoint_gradients(training_.checkpointing.of(own.model->info().layers), {});
    own.objective = make_objective(objective_name_, training_, *own.model, reference_, nullptr);
    seats_.push_back(std::move(own));
  }
  return seats_[index];
}

std::vector<std::vector<TokenView>> Passes::parts_of(const std::vector<TokenView>& examples) {
  std::vector<std::vector<TokenView>> parts = Passes::parts(examples, objective_name_, training_, dropout_);
  std::erase_if(parts, [this](const std::vector<TokenView>& part) { return objective().weight(part) == 0; });
  if (!parts.empty()) seat(parts.size() - 1);
  return parts;
}

void Passes::begin_step() {
  for (Seat& seat : seats_) seat.gradients.zero_();
}

template <typename Pass>
std::vector<PartResult> Passes::run(const std::vector<TokenView>& examples, const Pass& pass) {
  const std::vector<std::vector<TokenView>> parts = parts_of(examples);
  std::vector<PartResult> results(parts.size());
  const auto one = [&](int64_t i) {
    const auto place = static_cast<size_t>(i);
    Objective& objective = *seats_[place].objective;
    results[place].weight = objective.weight(parts[place]);
    results[place].batch = pass(objective, parts[place], results[place].weight);
  };
  if (parts.size() == 1) one(0);
  if (parts.size() > 1) models::side_by_side(static_cast<int64_t>(parts.size()), one);
  return results;
}

std::vector<PartResult> Passes::backward(const std::vector<TokenView>& examples, int64_t all) {
  return run(examples, [all](Objective& objective, const std::vector<TokenView>& part, int64_t weight) {
    return objective.backward(part, static_cast<double>(weight) / static_cast<double>(all));
  });
}

std::vector<PartResult> Passes::evaluate(const std::vector<TokenView>& examples) {
  return run(examples, [](Objective& objective, const std::vector<TokenView>& part, int64_t) {
    return objective.evaluate(part);
  });
}

void Passes::end_step() {
  for (size_t i = 1; i < seats_.size(); ++i) optimizer_.gradients().add_(seats_[i].gradients);
}

}  // namespace masbak::trainer

#include "trainer/estimate/estimate.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <optional>
#include <sstream>

#include "base/error.h"
#include "models/layers/matrix_product.h"
#include "trainer/estimate/available.h"
#include "trainer/estimate/largest_batches.h"
#include "trainer/estimate/memory.h"
#include "trainer/estimate/probe.h"
#include "trainer/estimate/product_sizes.h"
#include "trainer/estimate/shapes.h"
#include "trainer/loop/passes.h"
#include "trainer/loop/start.h"
#include "trainer/objectives/objective.h"

namespace masbak::trainer {
namespace {

using Clock = std::chrono::steady_clock;

// The program with LibTorch and its threads, before a model is loaded, and the machine code that oneDNN makes.
constexpr int64_t kRuntime = int64_t{260} << 20;
// Of what the heap holds, what lies between the pieces in use.
constexpr double kFragments = 0.04;
// The same of the pool of tensors: 2 to 4 of a hundred were measured, and more behind weights that were converted one
// by one, and where layers are computed again. Rather above, since an estimate that is too low costs more than one that
// is too high.
constexpr double kPoolFragments = 0.06, kCopiedFragments = 0.06, kAgainFragments = 0.03;
// What a run does and a probe does not: the code, and small things, of data, promise and checkpoints.
constexpr int64_t kUntried = int64_t{8} << 20;
// Of the rest, what differs from run to run.
constexpr double kSpread = 0.03;
// A probe may take so many operations and so much memory; beyond, an answer by arithmetic is worth more than a wait.
constexpr double kMostOperations = 2e12;
constexpr int64_t kMostProbeBytes = int64_t{1} << 30;

// Floating-point operations a second of a product of matrices in the run's type.
double measured_rate(const std::string& dtype) {
  const at::NoGradGuard no_grad;
  const auto options = at::TensorOptions().dtype(dtype == "float32" ? at::kFloat : at::kBFloat16);
  const at::Tensor a = at::ones({512, 1024}, options), b = at::ones({1024, 1024}, options);
  const auto multiply = [&] { models::takes_product(a, b) ? models::matrix_product(a, b) : at::mm(a, b); };
  multiply();  // makes machine code, or room for packed factors
  const auto begin = Clock::now();
  double operations = 0, seconds = 0;
  while (seconds < 0.2) {
    multiply();
    operations += 2.0 * 512 * 1024 * 1024;
    seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  }
  return operations / seconds;
}

// Operations for a token: forward, the gradient of the inputs, that of the adapter, and of `again`, a share of the
// layers, the forward a second time; a reference is one more forward.
double operations_per_token(const RunConfig& run, const ModelShapes& shapes, const adapters::Plan& plan,
                            const BatchShape& batch, double again) {
  const auto active = static_cast<double>(shapes.info.active_parameters);
  const double passes = 2 + again + (needs_reference(run.objective) ? 1 : 0);
  const double trained = static_cast<double>(plan.trainable_parameters) *
                         (shapes.info.experts > 0 ? active / static_cast<double>(shapes.info.parameters) : 1.0);
  const double attention = 2.0 * static_cast<double>(batch.longest * shapes.info.hidden * shapes.info.layers);
  return passes * (2 * active + attention) + 6 * trained;
}

// Of what is available, for trying: with a third more than calculated four fifths of it.
constexpr double kShareToProbe = 0.6;

// Products are not all of a step: norms, rotations, softmax and the optimiser take the rest.
constexpr double kShareOfRate = 0.55;

std::string gibibytes(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f GiB", static_cast<double>(bytes) / (1 << 30));
  return text;
}

}  // namespace

base::Json Estimate::to_json() const {
  base::Json parts_json = base::Json::object();
  for (const auto& [name, bytes] : parts) parts_json[name] = bytes;
  return {{"peak_memory_bytes", peak_memory_bytes},
          {"parts", parts_json},
          {"available_memory_bytes", available_memory_bytes},
          {"measured_layers", measured_layers},
          {"memory_budget_bytes", memory_budget_bytes > 0 ? base::Json(memory_budget_bytes) : base::Json()},
          {"fits", fits()},
          {"checkpointed_layers", checkpointed_layers},
          {"trainable_parameters", trainable_parameters},
          {"tokens_per_batch", tokens_per_batch},
          {"total_steps", total_steps},
          {"total_tokens", total_tokens},
          {"tokens_per_second", tokens_per_second},
          {"seconds", seconds}};
}

std::string Estimate::advice(const RunConfig& run) const {
  if (fits()) return "";
  const bool is_budget = memory_budget_bytes > 0 && available_memory_bytes == memory_budget_bytes;
  std::ostringstream text;
  text << "the run needs about " << gibibytes(peak_memory_bytes) << " and " << (is_budget ? "memory_budget is " : "")
       << gibibytes(available_memory_bytes) << (is_budget ? "" : " are available");
  int64_t weights = 0, batch = 0, trained = 0;
  for (const auto& [name, bytes] : parts) {
    if (name.starts_with("weights")) weights += bytes;
    if (name == "activations_bytes" || name == "workspace_bytes") batch += bytes;
    if (name == "adapter_bytes" || name == "gradients_bytes" || name == "optimizer_bytes") trained += bytes;
  }
  text << " (weights " << gibibytes(weights) << ", batch " << gibibytes(batch) << ", adapter and optimiser "
       << gibibytes(trained) << ")";
  const int64_t without_batch = peak_memory_bytes - batch;
  if (without_batch > available_memory_bytes) {
    text << "; even without a batch it does not fit: take a smaller model";
    if (run.training.dtype == "float32") text << ", dtype bfloat16";
    text << ", a quantised base (masbak-worker quantize) or a lower r";
    return text.str();
  }
  text << "; lower";
  if (run.training.batch_size > 1) text << " per_device_train_batch_size (now " << run.training.batch_size << "),";
  text << " max_length (now " << run.training.max_length << ")";
  if (run.training.checkpointing.may_save()) text << ", or set gradient_checkpointing: auto";
  return text.str();
}

namespace {

// Of all trained numbers: parameters, their gradients and those of further threads, AdamW's two moments, and copies.
struct TrainedBytes {
  int64_t adapter = 0, gradients = 0, optimizer = 0;
  int64_t all() const { return adapter + gradients + optimizer; }
};

TrainedBytes trained_bytes(const RunConfig& run, const adapters::Plan& plan, const LargestBatches& batches) {
  const int64_t trained = plan.numbers() * 4;
  int64_t seats = 1;
  for (const auto& examples : batches.train) {
    const auto parts = Passes::parts(examples, run.objective, run.training, run.adapter.lora_dropout);
    seats = std::max(seats, static_cast<int64_t>(parts.size()));
  }
  const int64_t copies = needs_reference(run.objective) && !run.adapter.path.empty() ? 1 : 0;
  return {trained * (1 + copies), trained * seats, 2 * trained};
}

// What estimates of one run have in common, which differ in the layers that are computed again.
class Estimator {
 public:
  explicit Estimator(const RunConfig& run)
      : run_(run),
        shapes_(model_shapes(run)),
        weights_(weight_memory(run, shapes_)),
        plan_(run_plan(run, shapes_.places)),
        batches_(largest_batches(run)),
        none_(static_cast<size_t>(shapes_.info.layers), false),
        all_(none_.size(), true) {
    const int64_t budget = run.training.memory_budget;
    common_.trainable_parameters = plan_.trainable_parameters;
    common_.total_steps = batches_.total_steps;
    common_.total_tokens = batches_.total_tokens;
    common_.available_memory_bytes = available_memory_bytes();
    common_.memory_budget_bytes = budget;
    const bool is_less = common_.available_memory_bytes < 0 || budget < common_.available_memory_bytes;
    if (budget > 0 && (is_less || run.training.device != "cpu")) common_.available_memory_bytes = budget;
    for (const auto& examples : batches_.train) {
      common_.tokens_per_batch = std::max(common_.tokens_per_batch, batch_shape(examples, run.objective).tokens);
    }
  }

  const ModelShapes& shapes() const { return shapes_; }

  // Tries the first layers as `again` has them where that is worth it; all or none of them where it has some.
  void measure(const std::vector<bool>& again) {
    measures_ = true;
    if (!worth_probing(again)) return;
    if (again != all_ && !with_none_) with_none_ = try_layers(Checkpointing::Choice::kNone);
    if (again != none_ && !with_all_) with_all_ = try_layers(Checkpointing::Choice::kAll);
  }

  Estimate estimate(const std::vector<bool>& again) {
    Estimate result = common_;
    result.checkpointed_layers = std::count(again.begin(), again.end(), true);
    calculate(again, &result);
    const std::optional<Probe> probed = measured(again);
    if (probed) adopt(*probed, &result);
    // The copy of the best adapter is made at an evaluation.
    if (run_.training.keeps_best() && !batches_.eval.empty()) {
      result.parts.push_back({"best_adapter_bytes", 4 * plan_.numbers()});
    }
    for (const auto& [name, bytes] : result.parts) result.peak_memory_bytes += bytes;
    // While the last weight is converted, it and what it comes from are there; of machine code there is none yet.
    const int64_t loading = kRuntime / 2 + weights_.mapped + weights_.copied + weights_.largest_source;
    result.parts.push_back({"loading_bytes", std::max<int64_t>(0, loading - result.peak_memory_bytes)});
    result.peak_memory_bytes += result.parts.back().second;
    if (!measures_ || batches_.train.empty()) return result;
    const BatchShape first = batch_shape(batches_.train.front(), run_.objective);
    if (!probed && rate_ == 0) rate_ = measured_rate(run_.training.dtype);
    result.tokens_per_second =
        probed ? static_cast<double>(first.tokens) / probed->seconds
               : kShareOfRate * rate_ / operations_per_token(run_, shapes_, plan_, first, share(again));
    result.seconds = static_cast<double>(result.total_tokens) / result.tokens_per_second;
    return result;
  }

 private:
  static double share(const std::vector<bool>& again) {
    return static_cast<double>(std::count(again.begin(), again.end(), true)) / static_cast<double>(again.size());
  }

  // Of the batch that takes most, by all threads. Kept: a plan asks for the same again and again.
  const StepMemory& step(const std::vector<bool>& again) const {
    const auto [found, is_new] = steps_.try_emplace(again);
    StepMemory& most = found->second;
    if (!is_new) return most;
    for (const auto& examples : batches_.train) {
      StepMemory all;
      for (const auto& part : Passes::parts(examples, run_.objective, run_.training, run_.adapter.lora_dropout)) {
        const StepMemory own = step_memory(run_, shapes_, plan_, batch_shape(part, run_.objective), again);
        all.activations += own.activations;
        all.workspace += own.workspace;
      }
      if (all.peak() > most.peak()) most = all;
    }
    return most;
  }

  // By the formulas alone.
  void calculate(const std::vector<bool>& again, Estimate* result) const {
    const StepMemory most = step(again);
    const TrainedBytes trained = trained_bytes(run_, plan_, batches_);
    const int64_t heap = weights_.copied + trained.all() + most.peak();
    result->parts = {{"weights_mapped_bytes", weights_.mapped},
                     {"weights_copied_bytes", weights_.copied},
                     {"adapter_bytes", trained.adapter},
                     {"gradients_bytes", trained.gradients},
                     {"optimizer_bytes", trained.optimizer},
                     {"activations_bytes", most.activations},
                     {"workspace_bytes", most.workspace},
                     {"runtime_bytes", kRuntime + static_cast<int64_t>(kFragments * static_cast<double>(heap))}};
  }

  // Whether the first layers can be loaded and trained in seconds, by the formulas.
  bool worth_probing(const std::vector<bool>& again) const {
    // What is measured is the memory of the host.
    if (batches_.train.empty() || run_.training.device != "cpu") return false;
    Estimate calculated;
    calculate(again == all_ ? all_ : none_, &calculated);
    const double first = static_cast<double>(layers_to_probe(shapes_, plan_)) / static_cast<double>(none_.size());
    const auto ends = static_cast<double>(2 * shapes_.info.vocabulary * shapes_.info.hidden);  // embedding and head
    double operations = 0, bytes = 0;
    for (const auto& examples : batches_.train) {
      const BatchShape shape = batch_shape(examples, run_.objective);
      const double each = operations_per_token(run_, shapes_, plan_, shape, share(again));
      operations += 2 * static_cast<double>(shape.tokens) * each * first;
      operations += 2 * static_cast<double>(shape.labelled) * 3 * ends;
    }
    for (const auto& [name, size] : calculated.parts) {
      const auto part = static_cast<double>(size);
      bytes += name == "runtime_bytes" || name == "workspace_bytes" ? 0 : part * first;
      if (name == "workspace_bytes") bytes += part;
    }
    bytes += ends * 2;
    const auto available = static_cast<double>(common_.available_memory_bytes);
    const double most = std::max(static_cast<double>(kMostProbeBytes), available / 4);
    return operations < kMostOperations && bytes < most && (available < 0 || bytes < kShareToProbe * available);
  }

  std::optional<Probe> try_layers(Checkpointing::Choice choice) const {
    RunConfig run = run_;
    run.training.checkpointing = {choice};
    return probe(run, shapes_, plan_, batches_);
  }

  // What was measured, or lies between what was measured with none and with all of the layers computed again.
  std::optional<Probe> measured(const std::vector<bool>& again) const {
    if (again == none_) return with_none_;
    if (again == all_) return with_all_;
    if (!with_none_ || !with_all_) return std::nullopt;
    Probe probe = *with_none_;
    const auto saved = static_cast<double>(step(none_).peak() - step(again).peak()) * saved_share();
    probe.tensors = std::max(with_all_->tensors, with_none_->tensors - static_cast<int64_t>(saved));
    probe.program = std::max(with_none_->program, with_all_->program);
    probe.seconds += share(again) * (with_all_->seconds - with_none_->seconds);
    return probe;
  }

  // Of what the formulas say that layers save, how much they do: by the last, since others of its kind were tried; else
  // by all.
  double saved_share() const {
    std::vector<bool> last = none_;
    last.back() = true;
    int64_t formula = step(none_).activations - step(last).activations;
    int64_t measured = with_none_->further - with_all_->further;
    if (with_none_->further == 0) {
      formula = step(none_).peak() - step(all_).peak();
      measured = with_none_->tensors - with_all_->tensors;
    }
    return formula > 0 && measured > 0 ? static_cast<double>(measured) / static_cast<double>(formula) : 0;
  }

  // What was measured in the place of what was calculated.
  void adopt(const Probe& probe, Estimate* result) const {
    std::vector<std::pair<std::string, int64_t>> parts;
    int64_t held = 0, copied = 0;  // of the tensors, what is there all the time; of that, converted weights
    for (const auto& [name, size] : result->parts) {
      if (name == "activations_bytes" || name == "workspace_bytes" || name == "runtime_bytes") continue;
      parts.push_back({name, size});
      if (name != "weights_mapped_bytes") held += size;
      if (name == "weights_copied_bytes") copied = size;
    }
    parts.push_back({"activations_bytes", std::max<int64_t>(0, probe.tensors - held)});
    const int64_t sizes = further_product_sizes(run_, shapes_, batches_, probe, models::sizes_are_free());
    parts.push_back({"machine_code_bytes", sizes * kBytesOfProductSize});
    const double pool_fragments = kPoolFragments + (result->checkpointed_layers > 0 ? kAgainFragments : 0);
    const auto fragments = static_cast<int64_t>(pool_fragments * static_cast<double>(probe.tensors) +
                                                kCopiedFragments * static_cast<double>(copied));
    const auto spread =
        static_cast<int64_t>(kSpread * static_cast<double>(probe.program + sizes * kBytesOfProductSize));
    parts.push_back({"runtime_bytes", probe.program + kUntried + fragments + spread});
    result->parts = std::move(parts);
    result->measured_layers = probe.layers;
  }

  const RunConfig& run_;
  const ModelShapes shapes_;
  const WeightMemory weights_;
  const adapters::Plan plan_;
  const LargestBatches batches_;
  const std::vector<bool> none_, all_;
  Estimate common_;
  bool measures_ = false;
  double rate_ = 0;
  std::optional<Probe> with_none_, with_all_;
  mutable std::map<std::vector<bool>, StepMemory> steps_;
};

// Whether a run of so much will fit. What is calculated is right to a third.
bool fits_surely(Estimate estimate) {
  if (estimate.measured_layers == 0) estimate.peak_memory_bytes += estimate.peak_memory_bytes / 3;
  return estimate.fits();
}

}  // namespace

Estimate estimate(const RunConfig& run, bool measure) {
  Estimator estimator(run);
  std::vector<bool> again = run.training.checkpointing.of(estimator.shapes().info.layers);
  if (measure) estimator.measure(again);
  Estimate best = estimator.estimate(again);
  if (run.training.checkpointing.choice != Checkpointing::Choice::kAuto || fits_surely(best)) return best;
  for (size_t layer = 0; layer < again.size(); ++layer) {
    again[layer] = true;
    if (measure && layer == 0) estimator.measure(again);
    Estimate next = estimator.estimate(again);
    if (next.peak_memory_bytes < best.peak_memory_bytes) best = std::move(next);
    if (fits_surely(best)) break;
  }
  return best;
}

}  // namespace masbak::trainer

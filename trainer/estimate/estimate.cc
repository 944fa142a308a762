#include "trainer/estimate/estimate.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
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
// by one. Rather above, since an estimate that is too low costs more than one that is too high.
constexpr double kPoolFragments = 0.06, kCopiedFragments = 0.06;
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

// Operations for a token: forward, the gradient of the inputs, that of the adapter, and with checkpointing the forward
// again; a reference is one more forward.
double operations_per_token(const RunConfig& run, const ModelShapes& shapes, const adapters::Plan& plan,
                            const BatchShape& batch) {
  const auto active = static_cast<double>(shapes.info.active_parameters);
  const double passes = 2 + (run.training.gradient_checkpointing ? 1 : 0) + (needs_reference(run.objective) ? 1 : 0);
  const double trained = static_cast<double>(plan.trainable_parameters) *
                         (shapes.info.experts > 0 ? active / static_cast<double>(shapes.info.parameters) : 1.0);
  const double attention = 2.0 * static_cast<double>(batch.longest * shapes.info.hidden * shapes.info.layers);
  return passes * (2 * active + attention) + 6 * trained;
}

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
          {"fits", available_memory_bytes < 0 || peak_memory_bytes <= available_memory_bytes},
          {"trainable_parameters", trainable_parameters},
          {"tokens_per_batch", tokens_per_batch},
          {"total_steps", total_steps},
          {"total_tokens", total_tokens},
          {"tokens_per_second", tokens_per_second},
          {"seconds", seconds}};
}

std::string Estimate::advice(const RunConfig& run) const {
  if (available_memory_bytes < 0 || peak_memory_bytes <= available_memory_bytes) return "";
  std::ostringstream text;
  text << "the run needs about " << gibibytes(peak_memory_bytes) << " and " << gibibytes(available_memory_bytes)
       << " are available";
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
  if (!run.training.gradient_checkpointing) text << ", or set gradient_checkpointing: true";
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

// By the formulas alone.
void calculate(const RunConfig& run, const ModelShapes& shapes, const WeightMemory& weights, const adapters::Plan& plan,
               const LargestBatches& batches, Estimate* result) {
  StepMemory step;
  for (const auto& examples : batches.train) {
    const StepMemory one = step_memory(run, shapes, plan, batch_shape(examples, run.objective));
    if (one.activations + one.workspace + one.logits > step.activations + step.workspace + step.logits) step = one;
  }
  const TrainedBytes trained = trained_bytes(run, plan, batches);
  const int64_t heap = weights.copied + trained.all() + step.activations + step.workspace + step.logits;
  result->parts = {{"weights_mapped_bytes", weights.mapped},
                   {"weights_copied_bytes", weights.copied},
                   {"adapter_bytes", trained.adapter},
                   {"gradients_bytes", trained.gradients},
                   {"optimizer_bytes", trained.optimizer},
                   {"activations_bytes", step.activations},
                   {"workspace_bytes", step.workspace + step.logits},
                   {"runtime_bytes", kRuntime + static_cast<int64_t>(kFragments * static_cast<double>(heap))}};
}

// Whether the first layers can be loaded and trained in seconds, by the formulas.
bool worth_probing(const RunConfig& run, const ModelShapes& shapes, const adapters::Plan& plan,
                   const LargestBatches& batches, const Estimate& calculated) {
  // What is measured is the memory of the host.
  if (batches.train.empty() || run.training.device != "cpu") return false;
  const double share = static_cast<double>(layers_to_probe(shapes, plan)) / static_cast<double>(shapes.info.layers);
  const auto ends = static_cast<double>(2 * shapes.info.vocabulary * shapes.info.hidden);  // embedding and head
  double operations = 0, bytes = 0;
  for (const auto& examples : batches.train) {
    const BatchShape shape = batch_shape(examples, run.objective);
    operations += 2 * static_cast<double>(shape.tokens) * operations_per_token(run, shapes, plan, shape) * share;
    operations += 2 * static_cast<double>(shape.labelled) * 3 * ends;
  }
  for (const auto& [name, size] : calculated.parts) {
    const auto part = static_cast<double>(size);
    bytes += name == "runtime_bytes" || name == "workspace_bytes" ? 0 : part * share;
    if (name == "workspace_bytes") bytes += part;
  }
  bytes += ends * 2;
  const auto available = static_cast<double>(calculated.available_memory_bytes);
  const double most = std::max(static_cast<double>(kMostProbeBytes), available / 4);
  return operations < kMostOperations && bytes < most && (available < 0 || bytes < available / 2);
}

// What was measured in the place of what was calculated.
void adopt(const RunConfig& run, const ModelShapes& shapes, const LargestBatches& batches, const Probe& probe,
           Estimate* result) {
  std::vector<std::pair<std::string, int64_t>> parts;
  int64_t held = 0, copied = 0;  // of the tensors, what is there all the time; of that, converted weights
  for (const auto& [name, size] : result->parts) {
    if (name == "activations_bytes" || name == "workspace_bytes" || name == "runtime_bytes") continue;
    parts.push_back({name, size});
    if (name != "weights_mapped_bytes") held += size;
    if (name == "weights_copied_bytes") copied = size;
  }
  parts.push_back({"activations_bytes", std::max<int64_t>(0, probe.tensors - held)});
  const int64_t sizes = further_product_sizes(run, shapes, batches, probe, models::sizes_are_free());
  parts.push_back({"machine_code_bytes", sizes * kBytesOfProductSize});
  const auto fragments = static_cast<int64_t>(kPoolFragments * static_cast<double>(probe.tensors) +
                                              kCopiedFragments * static_cast<double>(copied));
  const auto spread = static_cast<int64_t>(kSpread * static_cast<double>(probe.program + sizes * kBytesOfProductSize));
  parts.push_back({"runtime_bytes", probe.program + fragments + spread});
  result->parts = std::move(parts);
  result->measured_layers = probe.layers;
}

}  // namespace

Estimate estimate(const RunConfig& run, bool measure) {
  Estimate result;
  const ModelShapes shapes = model_shapes(run);
  const WeightMemory weights = weight_memory(run, shapes);
  const adapters::Plan plan = run_plan(run, shapes.places);
  const LargestBatches batches = largest_batches(run);
  result.trainable_parameters = plan.trainable_parameters;
  result.total_steps = batches.total_steps;
  result.total_tokens = batches.total_tokens;
  result.available_memory_bytes = available_memory_bytes();
  for (const auto& examples : batches.train) {
    result.tokens_per_batch = std::max(result.tokens_per_batch, batch_shape(examples, run.objective).tokens);
  }
  calculate(run, shapes, weights, plan, batches, &result);
  std::optional<Probe> probed;
  if (measure && worth_probing(run, shapes, plan, batches, result)) probed = probe(run, shapes, plan, batches);
  if (probed) adopt(run, shapes, batches, *probed, &result);
  // The copy of the best adapter is made at an evaluation.
  if (run.training.keeps_best() && !batches.eval.empty()) {
    result.parts.push_back({"best_adapter_bytes", 4 * plan.numbers()});
  }
  for (const auto& [name, bytes] : result.parts) result.peak_memory_bytes += bytes;
  // While the last weight is converted, it and what it comes from are there; of machine code there is none yet.
  const int64_t loading = kRuntime / 2 + weights.mapped + weights.copied + weights.largest_source;
  result.parts.push_back({"loading_bytes", std::max<int64_t>(0, loading - result.peak_memory_bytes)});
  result.peak_memory_bytes += result.parts.back().second;
  if (!measure || batches.train.empty()) return result;
  const BatchShape first = batch_shape(batches.train.front(), run.objective);
  result.tokens_per_second =
      probed ? static_cast<double>(first.tokens) / probed->seconds
             : kShareOfRate * measured_rate(run.training.dtype) / operations_per_token(run, shapes, plan, first);
  result.seconds = static_cast<double>(result.total_tokens) / result.tokens_per_second;
  return result;
}

}  // namespace masbak::trainer

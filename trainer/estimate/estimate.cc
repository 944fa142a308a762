#include "trainer/estimate/estimate.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "adapters/file.h"
#include "base/error.h"
#include "trainer/estimate/memory.h"
#include "trainer/estimate/shapes.h"
#include "trainer/loop/batches.h"
#include "trainer/loop/data.h"
#include "trainer/loop/start.h"
#include "trainer/objectives/objective.h"

namespace masbak::trainer {
namespace {

using Clock = std::chrono::steady_clock;

// The program with LibTorch and its threads, before a model is loaded, and the machine code that oneDNN makes.
constexpr int64_t kRuntime = int64_t{260} << 20;
// Of what the heap holds, what lies between the pieces in use.
constexpr double kFragments = 0.04;

BatchShape shape_of(const std::vector<TokenView>& examples, const RunConfig& run) {
  BatchShape shape;
  const bool all_rows = run.objective == "orpo";
  const auto add = [&](std::span<const int32_t> ids, std::span<const int32_t> labels) {
    if (ids.empty()) return;
    const auto length = static_cast<int64_t>(ids.size());
    shape.tokens += length;
    shape.longest = std::max(shape.longest, length);
    shape.padded_tokens += (length + 31) / 32 * 32;
    shape.labelled += all_rows ? length - 1 : std::count_if(labels.begin() + 1, labels.end(), [](int32_t label) {
      return label != kIgnoredLabel;
    });
  };
  for (const TokenView& example : examples) {
    add(example.ids, example.labels);
    add(example.rejected_ids, example.rejected_labels);
  }
  return shape;
}

// The largest micro-batch of the first epoch.
BatchShape largest_batch(const RunConfig& run, Estimate* result) {
  const RunData data = load_run_data(run, [](const std::string&) {});
  Batches batches(data.train, run.training);
  result->total_steps = batches.total_steps();
  BatchShape largest;
  int64_t tokens = 0, steps = 0;
  for (int64_t step = 0; step < result->total_steps && batches.epochs_after(step) < 1; ++step, ++steps) {
    for (const auto& batch : batches.step(step)) {
      const BatchShape shape = shape_of(batch, run);
      tokens += shape.tokens;
      if (shape.tokens > largest.tokens) largest = shape;
    }
  }
  result->total_tokens = tokens * result->total_steps / std::max<int64_t>(1, steps);
  return largest;
}

// Floating-point operations a second of a product of matrices in the run's type.
double measured_rate(const std::string& dtype) {
  const at::NoGradGuard no_grad;
  const auto options = at::TensorOptions().dtype(dtype == "float32" ? at::kFloat : at::kBFloat16);
  const at::Tensor a = at::ones({512, 1024}, options), b = at::ones({1024, 1024}, options);
  at::mm(a, b);  // makes the machine code
  const auto begin = Clock::now();
  double operations = 0, seconds = 0;
  while (seconds < 0.2) {
    at::mm(a, b);
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

// The number in a file of one number; -1 if there is none.
int64_t read_number_file(const std::string& file) {
  std::ifstream in(file);
  std::string word;
  if (!(in >> word) || word == "max") return -1;
  return std::stoll(word);
}

// Of a file of lines "key number"; 0 if there is none.
int64_t read_stat(const std::string& file, const std::string& key) {
  std::ifstream in(file);
  std::string word;
  for (int64_t number = 0; in >> word >> number;) {
    if (word == key) return number;
  }
  return 0;
}

}  // namespace

int64_t available_memory_bytes() {
  int64_t available = -1;
  std::ifstream in("/proc/meminfo");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("MemAvailable:")) available = std::stoll(line.substr(13)) * 1024;
  }
  struct Group {
    std::string folder, limit, usage, reclaimable;
  };
  const Group groups[] = {
      {"/sys/fs/cgroup/", "memory.max", "memory.current", "inactive_file"},
      {"/sys/fs/cgroup/memory/", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"}};
  for (const Group& group : groups) {
    const int64_t limit = read_number_file(group.folder + group.limit);
    const int64_t usage = read_number_file(group.folder + group.usage);
    if (limit <= 0 || usage < 0 || limit > (int64_t{1} << 60)) continue;
    // Pages of files that nobody looks at are given back when others are wanted.
    const int64_t left = limit - usage + read_stat(group.folder + "memory.stat", group.reclaimable);
    if (available < 0 || left < available) available = std::max<int64_t>(0, left);
  }
  return available;
}

base::Json Estimate::to_json() const {
  base::Json parts_json = base::Json::object();
  for (const auto& [name, bytes] : parts) parts_json[name] = bytes;
  return {{"peak_memory_bytes", peak_memory_bytes},
          {"parts", parts_json},
          {"available_memory_bytes", available_memory_bytes},
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
    if (name == "activations_bytes" || name == "workspace_bytes" || name == "logits_bytes") batch += bytes;
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

Estimate estimate(const RunConfig& run, bool measure) {
  Estimate result;
  const ModelShapes shapes = model_shapes(run.model, run.training.dtype);
  const adapters::Plan plan = run_plan(run, shapes.places);
  const BatchShape batch = largest_batch(run, &result);
  const StepMemory step = step_memory(run, shapes, plan, batch);
  result.trainable_parameters = plan.trainable_parameters;
  result.tokens_per_batch = batch.tokens;
  const int64_t trained = plan.trainable_parameters * 4;
  const bool reference_adapter = needs_reference(run.objective) && !run.adapter.path.empty();
  const bool evaluates = !run.dataset.eval.empty() || run.dataset.eval_fraction > 0;
  const bool best = run.training.keeps_best() && evaluates;
  const int64_t heap = shapes.copied_bytes + 4 * trained + step.activations + step.workspace + step.logits;
  result.parts = {{"weights_mapped_bytes", shapes.mapped_bytes + shapes.staying_source_bytes},
                  {"weights_copied_bytes", shapes.copied_bytes},
                  {"adapter_bytes", trained * (1 + (reference_adapter ? 1 : 0) + (best ? 1 : 0))},
                  {"gradients_bytes", trained},
                  {"optimizer_bytes", 2 * trained},
                  {"activations_bytes", step.activations},
                  {"workspace_bytes", step.workspace},
                  {"logits_bytes", step.logits},
                  {"runtime_bytes", kRuntime + static_cast<int64_t>(kFragments * static_cast<double>(heap))}};
  for (const auto& [name, bytes] : result.parts) result.peak_memory_bytes += bytes;
  // While the weights are converted, both they and what they come from are there.
  const int64_t loading = kRuntime + shapes.mapped_bytes + shapes.copied_bytes + shapes.source_bytes;
  result.parts.push_back({"loading_bytes", std::max<int64_t>(0, loading - result.peak_memory_bytes)});
  result.peak_memory_bytes += result.parts.back().second;
  result.available_memory_bytes = available_memory_bytes();
  if (!measure) return result;
  result.tokens_per_second =
      kShareOfRate * measured_rate(run.training.dtype) / operations_per_token(run, shapes, plan, batch);
  result.seconds = static_cast<double>(result.total_tokens) / result.tokens_per_second;
  return result;
}

}  // namespace masbak::trainer

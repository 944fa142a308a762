#include "trainer/loop/start.h"

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>

#include "adapters/file.h"
#include "base/error.h"
#include "models/families/describe.h"
#include "models/families/place.h"

namespace masbak::trainer {
namespace {

using adapters::Adapter;
using adapters::LoraConfig;
using adapters::Plan;
using adapters::PlanPlace;

bool gives(const LoraConfig& config, const std::string& key) {
  return std::find(config.given.begin(), config.given.end(), key) != config.given.end();
}

[[noreturn]] void fail_differs(const RunConfig& run, const std::string& key) {
  throw base::Error(base::Code::kFailedPrecondition,
                    "adapter.path goes on from an adapter with another '" + key +
                        "'; remove the key from the run file, or start a new adapter without path",
                    {run.file.string(), 0, "adapter." + key});
}

bool same_targets(const Plan& a, const Plan& b) {
  return std::equal(a.targets.begin(), a.targets.end(), b.targets.begin(), b.targets.end(),
                    [](const adapters::Target& x, const adapters::Target& y) {
                      return x.slot == y.slot && x.chosen_experts == y.chosen_experts;
                    });
}

void check_agrees(const RunConfig& run, const Plan& read, const std::vector<PlanPlace>& places) {
  const LoraConfig &wanted = run.adapter, &found = read.config;
  if (gives(wanted, "r") && wanted.r != found.r) fail_differs(run, "r");
  if (gives(wanted, "lora_alpha") && std::abs(wanted.lora_alpha - found.lora_alpha) > 1e-9 * found.lora_alpha) {
    fail_differs(run, "lora_alpha");
  }
  if (gives(wanted, "use_rslora") && wanted.use_rslora != found.use_rslora) fail_differs(run, "use_rslora");
  if (gives(wanted, "use_dora") && wanted.use_dora != found.use_dora) fail_differs(run, "use_dora");
  if (gives(wanted, "lora_bias") && wanted.lora_bias != found.lora_bias) fail_differs(run, "lora_bias");
  // The folder says these target by target.
  for (const char* key : {"rank_pattern", "alpha_pattern", "layers_to_transform", "layers_pattern", "modules_to_save",
                          "init_lora_weights"}) {
    if (!gives(wanted, key)) continue;
    throw base::Error(
        base::Code::kInvalidArgument,
        "adapter.path goes on from an adapter that has its '" + std::string(key) + "' already; remove the key",
        {run.file.string(), 0, std::string("adapter.") + key});
  }
  const bool names_targets = gives(wanted, "target_modules") || gives(wanted, "target_parameters");
  if (names_targets && !same_targets(make_plan(wanted, places), read)) fail_differs(run, "target_modules");
}

// The run file is where a target is wrong.
template <typename Work>
auto located(const RunConfig& run, const Work& work) {
  try {
    return work();
  } catch (const base::Error& error) {
    if (!error.where().file.empty()) throw;
    throw base::Error(error.code(), error.what(), {run.file.string(), error.where().line, error.where().field});
  }
}

}  // namespace

Adapter starting_adapter(const RunConfig& run, const std::vector<PlanPlace>& places) {
  return located(run, [&] {
    if (run.adapter.path.empty()) return adapters::new_adapter(make_plan(run.adapter, places), run.training.seed);
    Adapter adapter = adapters::read_adapter(run.adapter.path, places);
    check_agrees(run, adapter.plan, places);
    adapter.plan.config.lora_dropout = run.adapter.lora_dropout;
    adapter.plan.config.loraplus_lr_ratio = run.adapter.loraplus_lr_ratio;
    adapter.plan.config.loraplus_lr_embedding = run.adapter.loraplus_lr_embedding;
    adapter.dropout->probability = run.adapter.lora_dropout;
    adapter.dropout->generator = at::detail::createCPUGenerator(run.training.seed);
    return adapter;
  });
}

Plan run_plan(const RunConfig& run, const std::vector<PlanPlace>& places) {
  if (!run.adapter.path.empty()) return starting_adapter(run, places).plan;
  return located(run, [&] { return make_plan(run.adapter, places); });
}

namespace {

void require_model(const RunConfig& run) {
  if (!std::filesystem::is_directory(run.model)) {
    throw base::Error(base::Code::kNotFound, "expected a Hugging Face model folder at " + run.model.string(),
                      {run.file.string(), 0, "model"});
  }
}

}  // namespace

std::unique_ptr<models::CausalModel> load_base_model(const RunConfig& run) {
  require_model(run);
  return models::load_model_on(run.training.device, run.model, run.training.dtype);
}

std::unique_ptr<models::CausalModel> describe_base_model(const RunConfig& run) {
  require_model(run);
  return models::describe_model(run.model);
}

}  // namespace masbak::trainer

// Which tensors will train, decided and named before anything is allocated.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/document.h"
#include "models/families/causal_model.h"

namespace masbak::adapters {

// The adapter section of RUN.yaml, which is also adapter_config.json's.
struct LoraConfig {
  int64_t r = 16;
  double lora_alpha = 32;
  double lora_dropout = 0.0;
  std::vector<std::string> target_modules{"attention", "experts"};
  std::vector<std::string> target_parameters;
  std::vector<std::string> exclude_modules;
  bool use_rslora = false;
  bool use_dora = false;
  std::string path;  // an adapter folder to go on from; empty: a new one

  static LoraConfig read(const base::Fields& adapter);
  double scale() const;  // alpha / r, or alpha / sqrt(r)
};

// One place that gets an A and a B. For experts = 0: A [r, in], B [out, r]. For fused experts, in
// PEFT's layout: A [E·r, in] (row e·r + k), B [out, r·E] (column k·E + e).
struct Target {
  std::string slot;  // models::Slot::name
  models::Group group;
  int64_t in = 0, out = 0, experts = 0;
  int64_t rank = 0;
  std::string key_a, key_b;  // the keys of adapter_model.safetensors, "base_model.model.….lora_A.weight"
};

struct Plan {
  LoraConfig config;
  std::vector<Target> targets;
  int64_t trainable_parameters = 0;
  std::vector<std::string> frozen;  // slots left alone, as patterns ("model.layers.*.mlp.gate")
  base::Json to_json() const;       // the output of `masbak-worker plan`
  std::string digest() const;
};

// Resolves the configuration against the slots of a model. `names` only need name, group and sizes, so a
// plan can be made from a configuration alone. INVALID_ARGUMENT for a target that matches nothing, with
// the nearest names and the groups.
struct PlanPlace {
  std::string name;
  models::Group group;
  int64_t in = 0, out = 0, experts = 0;
};
std::vector<PlanPlace> places(models::CausalModel& model);
Plan make_plan(const LoraConfig& config, const std::vector<PlanPlace>& places);

}  // namespace masbak::adapters

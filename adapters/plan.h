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
  std::vector<std::string> target_modules{"attention", "experts"};  // groups, or ends of module names
  std::string target_pattern;  // target_modules given as one text: a regular expression for whole names
  std::vector<std::string> target_parameters;
  std::vector<std::string> exclude_modules;
  std::string exclude_pattern;  // exclude_modules given as one text
  bool use_rslora = false;
  bool use_dora = false;
  std::string path;                // an adapter folder to go on from; empty: a new one
  std::vector<std::string> given;  // the keys that the run file names; the others have their defaults

  // INVALID_ARGUMENT, located, for an unknown key or a value out of range; UNIMPLEMENTED for an option of
  // PEFT's that is not built yet.
  static LoraConfig read(const base::Fields& adapter);
  double scale() const;  // alpha / r, or alpha / sqrt(r)
};

// The names that stand for a part of the model: "attention", "experts", "shared_experts", "dense_mlp",
// "router", and "all-linear" for all of these.
const std::vector<std::string>& group_names();
bool is_group(const std::string& name);

// One place that gets an A and a B. For experts = 0: A [r, in], B [out, r]. For fused experts, in
// PEFT's layout: A [E·r, in] (row e·r + k), B [out, r·E] (column k·E + e).
struct Target {
  std::string slot;  // models::Slot::name
  models::Group group;
  int64_t in = 0, out = 0, experts = 0;
  int64_t rank = 0;
  double scale = 1;
  std::string key_a, key_b;  // the keys of adapter_model.safetensors, "base_model.model.….lora_A.weight"

  std::vector<int64_t> shape_a() const;
  std::vector<int64_t> shape_b() const;
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
// How names are understood: a run file's (groups too, and each must match), or those of a finished adapter
// as PEFT reads them (ends of names alone; at least one must match).
enum class Matching { kRunFile, kPeft };
Plan make_plan(const LoraConfig& config, const std::vector<PlanPlace>& places, Matching matching = Matching::kRunFile);

}  // namespace masbak::adapters

// Which tensors will train, decided and named before anything is allocated.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
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
  bool lora_bias = false;  // a bias of lora_B
  // "true" (PEFT's: Kaiming and zero), "gaussian", "false" (both random), "pissa" or "pissa_niter_N".
  std::string init_lora_weights = "true";
  // Regular expressions for ends of names, in order: the first that matches says the rank or alpha of a target.
  std::vector<std::pair<std::string, double>> rank_pattern, alpha_pattern;
  std::vector<int64_t> layers_to_transform;  // empty: all
  std::vector<std::string> layers_pattern;   // names of the list of layers; empty: the first list in a name
  std::vector<std::string> modules_to_save;  // ends of names of what trains as a whole copy
  // LoRA+ (Hayou et al. 2024): B and what else has one dimension learns this many times faster than A; 0: off.
  double loraplus_lr_ratio = 0;
  double loraplus_lr_embedding = 1e-6;  // with LoRA+, the learning rate of a LoRA on the embedding
  std::string path;                     // an adapter folder to go on from; empty: a new one
  std::vector<std::string> given;       // the keys that the run file names; the others have their defaults

  // INVALID_ARGUMENT, located, for an unknown key or a value out of range; UNIMPLEMENTED for an option of
  // PEFT's that is not built yet.
  static LoraConfig read(const base::Fields& adapter);
  double scale_of(double alpha, int64_t rank) const;  // alpha / rank, or alpha / sqrt(rank)
  double scale() const { return scale_of(lora_alpha, r); }
  // The lines of a run file's adapter section for every option that is neither a size nor a target nor at its
  // default, indented by two.
  std::string options_yaml() const;
};

// The names that stand for a part of the model: "attention", "experts", "shared_experts", "dense_mlp",
// "router", and "all-linear" for all of these.
const std::vector<std::string>& group_names();
bool is_group(const std::string& name);

// What a trained tensor is to its target. kBias is lora_B's, kMagnitude DoRA's, kFull the copy of a whole weight.
enum class Part { kA, kB, kBias, kMagnitude, kFull };

// A trained tensor as adapter_model.safetensors holds it.
struct TargetTensor {
  Part part;
  std::string key;
  std::vector<int64_t> shape;
};

// One place that gets an A and a B, or a whole copy. For experts = 0: A [r, in], B [out, r]. For fused experts, in
// PEFT's layout: A [E·r, in] (row e·r + k), B [out, r·E] (column k·E + e). For the embedding `in` is the vocabulary
// and `out` the hidden size; its whole copy is [in, out], that of a linear [out, in].
struct Target {
  std::string slot;  // models::Slot::name
  models::Group group;
  int64_t in = 0, out = 0, experts = 0;
  int64_t rank = 0;
  double scale = 1;
  std::string key_a, key_b;  // the keys of adapter_model.safetensors, "base_model.model.….lora_A.weight"

  bool full = false, dora = false, lora_bias = false;
  // Of fused experts of which some train: their numbers, in order; empty: all. A and B of the others are zero, and so
  // is their gradient: the tensors keep PEFT's shape, which has a place for every expert.
  std::vector<int64_t> chosen_experts;

  bool is_embedding() const { return group == models::Group::kEmbedding; }
  std::vector<int64_t> shape_a() const;
  std::vector<int64_t> shape_b() const;
  std::vector<TargetTensor> tensors() const;
  int64_t numbers() const;  // in all tensors
  int64_t trained_numbers() const;
  // What the learning rate of a tensor is multiplied by, given the run's.
  double learning_rate_factor(Part part, const LoraConfig& config, double learning_rate) const;
};

struct Plan {
  LoraConfig config;
  std::vector<Target> targets;
  int64_t trainable_parameters = 0;  // without those of experts that are not chosen
  int64_t numbers() const;           // with them: what memory holds
  std::vector<std::string> frozen;   // slots left alone, as patterns ("model.layers.*.mlp.gate")
  base::Json to_json() const;        // the output of `masbak-worker plan`
  std::string digest() const;
};

// A field that is one name or a list of them, as PEFT has it; empty if it is not there.
std::vector<std::string> name_list(const base::Fields& fields, const std::string& key);

// Resolves the configuration against the slots of a model. `names` only need name, group and sizes, so a
// plan can be made from a configuration alone. INVALID_ARGUMENT for a target that matches nothing, with
// the nearest names and the groups.
struct PlanPlace {
  std::string name;
  models::Group group;
  int64_t in = 0, out = 0, experts = 0;
  bool bias = false;
};
std::vector<PlanPlace> places(models::CausalModel& model);
constexpr const char* kEmbeddingSlot = "model.embed_tokens";
// Whether PEFT reaches a linear of this group, in a model with experts, by its parameter alone: named as modules, gate,
// gate_proj, up_proj and down_proj would be taken for those of the routed experts (transformers_weight_conversion.py).
bool needs_parameter(models::Group group);
// How names are understood: a run file's (groups too, and each must match), or those of a finished adapter
// as PEFT reads them (ends of names alone; at least one must match). kPeftSingleExperts: the names are those of
// transformers 4, where each expert has linears of its own ("experts.3.gate_proj", Mixtral's "experts.3.w1").
enum class Matching { kRunFile, kPeft, kPeftSingleExperts };
Plan make_plan(const LoraConfig& config, const std::vector<PlanPlace>& places, Matching matching = Matching::kRunFile);

}  // namespace masbak::adapters

#include "adapters/plan.h"

#include <algorithm>
#include <map>
#include <set>

#include "adapters/name_pattern.h"
#include "adapters/selection.h"
#include "base/digest.h"
#include "base/error.h"

namespace masbak::adapters {
namespace {

using models::Group;

// Where PEFT keeps the A and B of each target. Several parameters of one module nest: the last one wraps
// the others, and each layer of wrapping puts ".base_layer" into the names inside.
void name_keys(std::vector<Target>* targets) {
  std::map<std::string, int> wrappers;
  for (auto target = targets->rbegin(); target != targets->rend(); ++target) {
    std::string module = target->slot;
    if (target->full) {
      target->key_a = "base_model.model." + module + ".weight";
      continue;
    }
    if (target->is_embedding()) {
      target->key_a = "base_model.model." + module + ".lora_embedding_A";
      target->key_b = "base_model.model." + module + ".lora_embedding_B";
      continue;
    }
    if (target->experts > 0) {
      module = module.substr(0, module.rfind('.'));
      const int outside = wrappers[module]++;
      for (int i = 0; i < outside; ++i) module += ".base_layer";
    }
    target->key_a = "base_model.model." + module + ".lora_A.weight";
    target->key_b = "base_model.model." + module + ".lora_B.weight";
  }
}

// "model.layers.3.mlp.gate" -> "model.layers.*.mlp.gate"
std::string without_numbers(const std::string& name) {
  std::string pattern;
  size_t start = 0;
  while (start <= name.size()) {
    const size_t dot = std::min(name.find('.', start), name.size());
    const std::string part = name.substr(start, dot - start);
    const bool number = !part.empty() && part.find_first_not_of("0123456789") == std::string::npos;
    if (start > 0) pattern += '.';
    pattern += number ? "*" : part;
    start = dot + 1;
  }
  return pattern;
}

// What does not train, in short: a pattern where none of its places trains, else the name itself.
std::vector<std::string> frozen_names(const std::vector<PlanPlace>& places, const std::vector<bool>& chosen) {
  std::set<std::string> trained;
  for (size_t i = 0; i < places.size(); ++i) {
    if (chosen[i]) trained.insert(without_numbers(places[i].name));
  }
  std::vector<std::string> names;
  std::set<std::string> seen;
  for (size_t i = 0; i < places.size(); ++i) {
    if (chosen[i]) continue;
    const std::string pattern = without_numbers(places[i].name);
    const std::string& name = trained.count(pattern) ? places[i].name : pattern;
    if (seen.insert(name).second) names.push_back(name);
  }
  return names;
}

// The names by which rank_pattern and alpha_pattern may mean a place.
std::vector<std::string> pattern_names(const PlanPlace& place, Matching matching) {
  if (place.experts == 0) return {place.name, place.name + ".weight"};
  if (matching == Matching::kPeftSingleExperts) return single_expert_names(place);
  return {place.name};
}

// What PEFT cannot do at a place either: it would read the adapter as another function, or not at all.
void refuse_impossible(const LoraConfig& config, const PlanPlace& place, bool mixture, bool strict) {
  const bool embedding = place.group == Group::kEmbedding;
  if (strict && place.experts > 0 && config.lora_dropout > 0) {
    base::fail_input("dropout cannot be used on fused experts ('" + place.name +
                         "'), as in PEFT; set lora_dropout to 0.0 or leave the experts out of the targets",
                     {"", 0, "adapter.lora_dropout"});
  }
  // In a model with experts PEFT reaches the linears outside of attention only as parameters; before 0.19 as modules.
  const bool parameter = place.experts > 0 || (strict && mixture && needs_parameter(place.group));
  if (parameter && (config.use_dora || config.lora_bias)) {
    base::fail_input(std::string(config.use_dora ? "DoRA" : "lora_bias") + " cannot be used on '" + place.name +
                         "', which PEFT adapts as a parameter; leave it out of the targets",
                     {"", 0, config.use_dora ? "adapter.use_dora" : "adapter.lora_bias"});
  }
  if (embedding && config.lora_bias) {
    base::fail_input("lora_bias cannot be used on the embedding, as in PEFT", {"", 0, "adapter.lora_bias"});
  }
  if (config.lora_bias && place.name.ends_with(".kv_b_proj")) {
    throw base::Error(base::Code::kUnimplemented,
                      "lora_bias on '" + place.name + "' is not built: decoding multiplies its weight into other " +
                          "products, where a bias has no place",
                      {"", 0, "adapter.lora_bias"});
  }
  if (embedding && config.init_lora_weights.starts_with("pissa")) {
    base::fail_input("PiSSA cannot start a LoRA on the embedding, as in PEFT", {"", 0, "adapter.init_lora_weights"});
  }
}

}  // namespace

bool needs_parameter(Group group) {
  return group != Group::kAttention && group != Group::kHead && group != Group::kEmbedding;
}

std::vector<int64_t> Target::shape_a() const { return {experts > 0 ? experts * rank : rank, in}; }
std::vector<int64_t> Target::shape_b() const { return {out, experts > 0 ? rank * experts : rank}; }

std::vector<TargetTensor> Target::tensors() const {
  if (full) {
    return {{Part::kFull, key_a, is_embedding() ? std::vector<int64_t>{in, out} : std::vector<int64_t>{out, in}}};
  }
  std::vector<TargetTensor> list{{Part::kA, key_a, shape_a()}, {Part::kB, key_b, shape_b()}};
  const std::string module = key_a.substr(0, key_a.rfind(".lora_"));
  if (lora_bias) list.push_back({Part::kBias, module + ".lora_B.bias", {out}});
  if (dora) list.push_back({Part::kMagnitude, module + ".lora_magnitude_vector", {out}});
  return list;
}

int64_t Target::numbers() const {
  int64_t sum = 0;
  for (const TargetTensor& tensor : tensors()) {
    int64_t product = 1;
    for (int64_t size : tensor.shape) product *= size;
    sum += product;
  }
  return sum;
}

int64_t Target::trained_numbers() const {
  return chosen_experts.empty() ? numbers() : numbers() / experts * static_cast<int64_t>(chosen_experts.size());
}

double Target::learning_rate_factor(Part part, const LoraConfig& config, double learning_rate) const {
  if (config.loraplus_lr_ratio == 0) return 1;
  if (is_embedding() && !full) return config.loraplus_lr_embedding / learning_rate;
  return part == Part::kA || part == Part::kFull ? 1 : config.loraplus_lr_ratio;
}

base::Json Plan::to_json() const {
  base::Json list = base::Json::array();
  for (const Target& target : targets) {
    for (const TargetTensor& tensor : target.tensors()) {
      base::Json line{{"name", tensor.key}, {"shape", tensor.shape}};
      line["rank"] = target.full ? base::Json(nullptr) : base::Json(target.rank);
      line["dtype"] = "float32";
      line["target"] = target.slot;
      if (!target.chosen_experts.empty()) line["experts"] = target.chosen_experts;
      list.push_back(std::move(line));
    }
  }
  return {{"trainable_parameters", trainable_parameters}, {"tensors", list}, {"frozen", frozen}};
}

int64_t Plan::numbers() const {
  int64_t sum = 0;
  for (const Target& target : targets) sum += target.numbers();
  return sum;
}

std::string Plan::digest() const { return base::digest_bytes(to_json().dump()); }

std::vector<PlanPlace> places(models::CausalModel& model) {
  std::vector<PlanPlace> result;
  if (model.embedding()) {
    const models::ModelInfo& info = model.info();
    result.push_back({kEmbeddingSlot, Group::kEmbedding, info.vocabulary, info.hidden, 0});
  }
  for (const models::Slot& slot : model.slots()) {
    if (slot.linear) {
      const models::Projection& linear = **slot.linear;
      result.push_back(
          {slot.name, slot.group, linear.in_features(), linear.out_features(), 0, linear.bias().defined()});
    } else {
      const auto& experts = *slot.experts;
      result.push_back({slot.name, slot.group, experts->in_features(), experts->out_features(), experts->experts()});
    }
  }
  return result;
}

Plan make_plan(const LoraConfig& config, const std::vector<PlanPlace>& places, Matching matching) {
  const bool strict = matching == Matching::kRunFile;
  const std::vector<PlaceChoice> targeted = targeted_places(config, places, matching);
  const std::vector<bool> saved = saved_places(config, places, strict);
  PatternValues ranks(config.rank_pattern, "adapter.rank_pattern");
  PatternValues alphas(config.alpha_pattern, "adapter.alpha_pattern");
  const bool mixture =
      std::any_of(places.begin(), places.end(), [](const PlanPlace& place) { return place.experts > 0; });

  Plan plan;
  plan.config = config;
  std::vector<bool> trained(places.size(), false);
  for (size_t i = 0; i < places.size(); ++i) {
    const PlanPlace& place = places[i];
    // What is saved whole gets no LoRA, as in PEFT.
    if (!saved[i] && !targeted[i].chosen) continue;
    trained[i] = true;
    Target target{place.name, place.group, place.in, place.out, place.experts, 0, 1, "", ""};
    target.full = saved[i];
    target.chosen_experts = targeted[i].experts;
    if (!target.full) {
      refuse_impossible(config, place, mixture, strict);
      const std::vector<std::string> names = pattern_names(place, matching);
      target.rank = static_cast<int64_t>(ranks.value(names, static_cast<double>(config.r)));
      target.scale = config.scale_of(alphas.value(names, config.lora_alpha), target.rank);
      // Gate and up of an expert, each with its own A, make one of twice the rank.
      if (matching == Matching::kPeftSingleExperts && place.experts > 0 && place.name.ends_with("gate_up_proj")) {
        target.rank *= 2;
      }
      target.dora = config.use_dora;
      target.lora_bias = config.lora_bias;
    }
    plan.targets.push_back(std::move(target));
  }
  if (strict) {
    ranks.require_used();
    alphas.require_used();
  }
  if (plan.targets.empty()) {
    base::fail_input(strict ? "exclude_modules leaves nothing to train"
                            : "none of the adapter's targets is in this model; is it another model's adapter?",
                     {"", 0, strict ? "adapter.exclude_modules" : "target_modules"});
  }
  name_keys(&plan.targets);
  for (const Target& target : plan.targets) plan.trainable_parameters += target.trained_numbers();
  plan.frozen = frozen_names(places, trained);
  return plan;
}

}  // namespace masbak::adapters

#include "adapters/peft_config.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <set>

#include "adapters/name_pattern.h"
#include "base/error.h"

namespace masbak::adapters {
namespace {

using base::Fields;
using base::Json;

// The version of PEFT whose layout we write.
constexpr const char* kPeftVersion = "0.21.2";

// PEFT finds a linear of attention as a module. The other linears go by parameter: on models with experts
// PEFT takes the module names gate, gate_proj, up_proj and down_proj for those of the routed experts
// (transformers_weight_conversion.py), so that a shared expert or a router named as a module would be lost.
bool by_parameter(const Target& target) { return target.experts > 0 || target.group != models::Group::kAttention; }

// The name by which PEFT looks for the target: "model.….q_proj", "model.….mlp.gate.weight".
std::string full_name(const std::string& slot, int64_t experts, bool parameter) {
  return parameter && experts == 0 ? slot + ".weight" : slot;
}

bool ends_with_name(const std::string& name, const std::string& suffix) {
  return name == suffix || (name.size() > suffix.size() && name.ends_with("." + suffix));
}

// The shortest end of the target's name, of at least `least` parts, that belongs to no place left frozen.
std::string shortest_name(const Target& target, bool parameter, int least, const std::vector<std::string>& frozen) {
  const std::string name = full_name(target.slot, target.experts, parameter);
  size_t start = name.size();
  for (int parts = 1; start > 0; ++parts) {
    const size_t dot = name.rfind('.', start - 1);
    if (dot == std::string::npos) break;
    start = dot;
    const std::string suffix = name.substr(dot + 1);
    const bool unique = std::none_of(frozen.begin(), frozen.end(),
                                     [&](const std::string& other) { return ends_with_name(other, suffix); });
    if (parts >= least && unique) return suffix;
  }
  return name;
}

struct TargetNames {
  std::set<std::string> modules, parameters;
};

TargetNames target_names(const Plan& plan, const std::vector<PlanPlace>& model_places) {
  std::set<std::string> modules, parameters;
  for (const Target& target : plan.targets) (by_parameter(target) ? parameters : modules).insert(target.slot);
  std::vector<std::string> other_modules, other_parameters;
  for (const PlanPlace& place : model_places) {
    if (place.experts == 0 && !modules.count(place.name)) other_modules.push_back(place.name);
    if (!parameters.count(place.name)) other_parameters.push_back(full_name(place.name, place.experts, true));
  }
  TargetNames names;
  for (const Target& target : plan.targets) {
    if (by_parameter(target)) {
      names.parameters.insert(shortest_name(target, true, 3, other_parameters));
    } else {
      names.modules.insert(shortest_name(target, false, 1, other_modules));
    }
  }
  return names;
}

Json whole_if_whole(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e15) return static_cast<int64_t>(value);
  return value;
}

// A literal name as a regular expression.
std::string escaped(const std::string& name) {
  std::string text;
  for (char c : name) text += c == '.' ? std::string("\\.") : std::string(1, c);
  return text;
}

double alpha_of(const Target& target, bool rslora) {
  const double rank = static_cast<double>(target.rank);
  return target.scale * (rslora ? std::sqrt(rank) : rank);
}

Json list_or_null(const std::set<std::string>& names) {
  return names.empty() ? Json(nullptr) : Json(std::vector<std::string>(names.begin(), names.end()));
}

// ---- reading ----

[[noreturn]] void refuse(const Fields& config, const std::string& key) {
  throw base::Error(base::Code::kUnimplemented,
                    "the adapter uses PEFT's '" + key +
                        "', which Masbak cannot apply yet; leave it out or merge the "
                        "adapter with PEFT",
                    config.where(key));
}

bool is_off(const Json& value) {
  if (value.is_null()) return true;
  if (value.is_boolean()) return !value.get<bool>();
  if (value.is_structured() || value.is_string()) return value.empty();
  return false;
}

// Anything that would make the adapter another function than plain LoRA.
void refuse_unbuilt(const Fields& config) {
  if (config.get<std::string>("peft_type", "LORA") != "LORA") {
    config.fail("peft_type",
                "expected LORA, found '" + config.get<std::string>("peft_type") + "'; Masbak reads LoRA adapters only");
  }
  if (config.get<std::string>("bias", "none") != "none") refuse(config, "bias");
  for (const char* key : {"use_dora", "use_qalora", "use_bdlora", "lora_bias", "modules_to_save", "layers_to_transform",
                          "layer_replication", "fan_in_fan_out", "trainable_token_indices", "alora_invocation_tokens",
                          "arrow_config", "kasa_config", "monteclora_config", "velora_config"}) {
    if (config.has(key) && !is_off(config.raw(key))) refuse(config, key);
  }
}

void read_names(const Fields& config, const std::string& key, std::vector<std::string>* list, std::string* pattern) {
  list->clear();
  if (!config.has(key)) return;
  if (config.raw(key).is_string()) {
    *pattern = config.get<std::string>(key);
  } else {
    *list = config.get<std::vector<std::string>>(key);
  }
}

// rank_pattern and alpha_pattern: the first regular expression that matches an end of the name wins.
double pattern_value(const Fields& config, const std::string& key, const std::string& name, double fallback) {
  if (!config.has(key)) return fallback;
  const Json& patterns = config.raw(key);
  if (!patterns.is_object()) config.fail(key, "expected a mapping from names to numbers");
  for (const auto& [text, value] : patterns.items()) {
    if (!value.is_number()) config.fail(key, "expected a number for '" + text + "'");
    if (NamePattern("(.*\\.)?(" + text + ")", key).matches(name)) return value.get<double>();
  }
  return fallback;
}

bool swapped_version(const std::string& version) {
  int major = 0, minor = 0, patch = 0;
  if (std::sscanf(version.c_str(), "%d.%d.%d", &major, &minor, &patch) < 2) return false;
  return major == 0 && (minor == 17 || minor == 18 || (minor == 19 && patch == 0));
}

}  // namespace

std::string peft_config_text(const Plan& plan, const std::vector<PlanPlace>& model_places,
                             const std::string& base_model) {
  const LoraConfig& config = plan.config;
  const TargetNames names = target_names(plan, model_places);
  nlohmann::json ranks = nlohmann::json::object(), alphas = nlohmann::json::object();
  for (const Target& target : plan.targets) {
    const std::string key = escaped(full_name(target.slot, target.experts, by_parameter(target)));
    if (target.rank != config.r) ranks[key] = target.rank;
    const double alpha = alpha_of(target, config.use_rslora);
    if (std::abs(alpha - config.lora_alpha) > 1e-9 * config.lora_alpha) alphas[key] = whole_if_whole(alpha);
  }
  // PEFT refuses dropout on parameters, and a finished adapter has no use for it.
  const double dropout = names.parameters.empty() ? config.lora_dropout : 0.0;
  const nlohmann::json text{{"alpha_pattern", alphas},
                            {"base_model_name_or_path", base_model},
                            {"bias", "none"},
                            {"exclude_modules", nullptr},
                            {"fan_in_fan_out", false},
                            {"inference_mode", true},
                            {"init_lora_weights", true},
                            {"layers_to_transform", nullptr},
                            {"lora_alpha", whole_if_whole(config.lora_alpha)},
                            {"lora_bias", false},
                            {"lora_dropout", dropout},
                            {"modules_to_save", nullptr},
                            {"peft_type", "LORA"},
                            {"peft_version", kPeftVersion},
                            {"r", config.r},
                            {"rank_pattern", ranks},
                            {"revision", nullptr},
                            {"target_modules", list_or_null(names.modules)},
                            {"target_parameters", list_or_null(names.parameters)},
                            {"task_type", "CAUSAL_LM"},
                            {"use_dora", false},
                            {"use_rslora", config.use_rslora}};
  return text.dump(2) + "\n";
}

PeftConfig read_peft_config(const std::filesystem::path& folder, const std::vector<PlanPlace>& model_places) {
  const Fields fields = Fields::read_json(folder / "adapter_config.json");
  refuse_unbuilt(fields);
  LoraConfig config;
  config.r = fields.get<int64_t>("r", 8);  // PEFT's defaults
  config.lora_alpha = fields.get<double>("lora_alpha", 8);
  config.lora_dropout = fields.get<double>("lora_dropout", 0.0);
  config.use_rslora = fields.get<bool>("use_rslora", false);
  if (config.r < 1) fields.fail("r", "expected a rank of at least 1, found " + std::to_string(config.r));
  read_names(fields, "target_modules", &config.target_modules, &config.target_pattern);
  read_names(fields, "exclude_modules", &config.exclude_modules, &config.exclude_pattern);
  std::string parameter_pattern;
  read_names(fields, "target_parameters", &config.target_parameters, &parameter_pattern);
  if (!parameter_pattern.empty()) fields.fail("target_parameters", "expected a list of names, found one text");

  PeftConfig result;
  result.maybe_swapped = swapped_version(fields.get<std::string>("peft_version", ""));
  result.plan = make_plan(config, model_places, Matching::kPeft);
  Plan& plan = result.plan;
  plan.trainable_parameters = 0;
  for (Target& target : plan.targets) {
    // PEFT asks its patterns by the name under which it found the target.
    std::string name = target.slot;
    if (fields.has("target_parameters") && target.experts == 0) {
      for (const std::string& entry : config.target_parameters) {
        if (ends_with_name(target.slot + ".weight", entry)) name = target.slot + ".weight";
      }
    }
    target.rank = static_cast<int64_t>(pattern_value(fields, "rank_pattern", name, static_cast<double>(config.r)));
    const double rank = static_cast<double>(target.rank);
    const double alpha = pattern_value(fields, "alpha_pattern", name, config.lora_alpha);
    target.scale = config.use_rslora ? alpha / std::sqrt(rank) : alpha / rank;
    plan.trainable_parameters += std::max<int64_t>(target.experts, 1) * target.rank * (target.in + target.out);
  }
  return result;
}

}  // namespace masbak::adapters

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

// A model without experts has no names that PEFT would take for those of experts.
bool is_mixture(const std::vector<PlanPlace>& model_places) {
  return std::any_of(model_places.begin(), model_places.end(),
                     [](const PlanPlace& place) { return place.experts > 0; });
}

bool by_parameter(const Target& target, bool mixture) {
  return target.experts > 0 || (mixture && needs_parameter(target.group));
}

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
  std::set<std::string> modules, parameters, saved;
};

TargetNames target_names(const Plan& plan, const std::vector<PlanPlace>& model_places) {
  const bool mixture = is_mixture(model_places);
  std::set<std::string> modules, parameters;
  TargetNames names;
  for (const Target& target : plan.targets) {
    if (target.full) {
      names.saved.insert(target.slot);
    } else {
      (by_parameter(target, mixture) ? parameters : modules).insert(target.slot);
    }
  }
  std::vector<std::string> other_modules, other_parameters;
  for (const PlanPlace& place : model_places) {
    if (place.experts == 0 && !modules.count(place.name)) other_modules.push_back(place.name);
    if (!parameters.count(place.name)) other_parameters.push_back(full_name(place.name, place.experts, true));
  }
  for (const Target& target : plan.targets) {
    if (target.full) continue;
    if (by_parameter(target, mixture)) {
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
void refuse_what_changes_the_function(const Fields& config) {
  if (config.get<std::string>("peft_type", "LORA") != "LORA") {
    config.fail("peft_type",
                "expected LORA, found '" + config.get<std::string>("peft_type") + "'; Masbak reads LoRA adapters only");
  }
  if (config.get<std::string>("bias", "none") != "none") refuse(config, "bias");
  for (const char* key : {"use_qalora", "use_bdlora", "ensure_weight_tying", "layer_replication", "fan_in_fan_out",
                          "trainable_token_indices", "alora_invocation_tokens", "arrow_config", "kasa_config",
                          "monteclora_config", "velora_config"}) {
    if (config.has(key) && !is_off(config.raw(key))) refuse(config, key);
  }
}

void read_peft_names(const Fields& config, const std::string& key, std::vector<std::string>* list,
                     std::string* pattern) {
  list->clear();
  if (!config.has(key)) return;
  if (config.raw(key).is_string()) {
    *pattern = config.get<std::string>(key);
  } else {
    *list = config.get<std::vector<std::string>>(key);
  }
}

std::vector<std::pair<std::string, double>> read_patterns(const Fields& config, const std::string& key) {
  std::vector<std::pair<std::string, double>> result;
  if (!config.has(key)) return result;
  const Json& patterns = config.raw(key);
  if (!patterns.is_object()) config.fail(key, "expected a mapping from names to numbers");
  for (const auto& [text, value] : patterns.items()) {
    if (!value.is_number() || value.get<double>() <= 0) config.fail(key, "expected a number for '" + text + "'");
    result.push_back({text, value.get<double>()});
  }
  return result;
}

std::vector<int64_t> read_layers(const Fields& config) {
  if (!config.has("layers_to_transform")) return {};
  if (config.raw("layers_to_transform").is_number()) return {config.get<int64_t>("layers_to_transform")};
  return config.get<std::vector<int64_t>>("layers_to_transform");
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
  const bool mixture = is_mixture(model_places);
  nlohmann::json ranks = nlohmann::json::object(), alphas = nlohmann::json::object();
  for (const Target& target : plan.targets) {
    if (target.full) continue;
    const std::string key = escaped(full_name(target.slot, target.experts, by_parameter(target, mixture)));
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
                            {"lora_bias", config.lora_bias},
                            {"lora_dropout", dropout},
                            {"modules_to_save", list_or_null(names.saved)},
                            {"peft_type", "LORA"},
                            {"peft_version", kPeftVersion},
                            {"r", config.r},
                            {"rank_pattern", ranks},
                            {"revision", nullptr},
                            {"target_modules", list_or_null(names.modules)},
                            {"target_parameters", list_or_null(names.parameters)},
                            {"task_type", "CAUSAL_LM"},
                            {"use_dora", config.use_dora},
                            {"use_rslora", config.use_rslora}};
  return text.dump(2) + "\n";
}

PeftConfig read_peft_config(const std::filesystem::path& folder, const std::vector<PlanPlace>& model_places,
                            bool single_experts) {
  const Fields fields = Fields::read_json(folder / "adapter_config.json");
  refuse_what_changes_the_function(fields);
  LoraConfig config;
  config.r = fields.get<int64_t>("r", 8);  // PEFT's defaults
  config.lora_alpha = fields.get<double>("lora_alpha", 8);
  config.lora_dropout = fields.get<double>("lora_dropout", 0.0);
  config.use_rslora = fields.get<bool>("use_rslora", false);
  config.use_dora = fields.get<bool>("use_dora", false);
  config.lora_bias = fields.get<bool>("lora_bias", false);
  config.rank_pattern = read_patterns(fields, "rank_pattern");
  config.alpha_pattern = read_patterns(fields, "alpha_pattern");
  config.layers_to_transform = read_layers(fields);
  config.layers_pattern = name_list(fields, "layers_pattern");
  config.modules_to_save = name_list(fields, "modules_to_save");
  if (config.r < 1) fields.fail("r", "expected a rank of at least 1, found " + std::to_string(config.r));
  read_peft_names(fields, "target_modules", &config.target_modules, &config.target_pattern);
  read_peft_names(fields, "exclude_modules", &config.exclude_modules, &config.exclude_pattern);
  std::string parameter_pattern;
  read_peft_names(fields, "target_parameters", &config.target_parameters, &parameter_pattern);
  if (!parameter_pattern.empty()) fields.fail("target_parameters", "expected a list of names, found one text");
  const std::string start = fields.has("init_lora_weights") && fields.raw("init_lora_weights").is_string()
                                ? fields.get<std::string>("init_lora_weights")
                                : "";
  if (start.starts_with("pissa") || start == "olora" || start.starts_with("corda") || start == "loftq") {
    // Such an adapter belongs to a base that its own start has changed.
    throw base::Error(base::Code::kFailedPrecondition,
                      "the adapter was started with '" + start +
                          "' and fits only the base weights that PEFT changed at its start; save it in PEFT with "
                          "path_initial_model_for_weight_conversion, which makes it fit the plain base",
                      fields.where("init_lora_weights"));
  }

  PeftConfig result;
  result.maybe_swapped = swapped_version(fields.get<std::string>("peft_version", ""));
  result.single_experts = single_experts;
  result.plan = make_plan(config, model_places, single_experts ? Matching::kPeftSingleExperts : Matching::kPeft);
  return result;
}

}  // namespace masbak::adapters

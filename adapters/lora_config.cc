// The adapter section of a run file.
#include <cmath>

#include "adapters/plan.h"
#include "base/error.h"

namespace masbak::adapters {
namespace {

using base::Fields;

// Either a list, or one text, which PEFT reads as a regular expression; the name of a group alone is
// taken as a list of that one group.
void read_names(const Fields& adapter, const std::string& key, std::vector<std::string>* list, std::string* pattern) {
  if (!adapter.has(key)) return;
  if (!adapter.raw(key).is_string()) {
    *list = adapter.get<std::vector<std::string>>(key);
    return;
  }
  const std::string text = adapter.get<std::string>(key);
  if (text.empty()) adapter.fail(key, "expected a list of names or a regular expression, found an empty text");
  if (is_group(text)) {
    *list = {text};
  } else {
    list->clear();
    *pattern = text;
  }
}

void refuse_unbuilt(const Fields& adapter) {
  if (adapter.get<bool>("use_dora", false)) {
    throw base::Error(base::Code::kUnimplemented, "DoRA is not built yet; set use_dora to false",
                      adapter.where("use_dora"));
  }
  for (const char* key :
       {"rank_pattern", "alpha_pattern", "layers_to_transform", "layers_pattern", "modules_to_save", "bias",
        "lora_bias", "init_lora_weights", "fan_in_fan_out", "loftq_config", "megatron_config", "eva_config",
        "corda_config", "layer_replication", "trainable_token_indices", "quantization", "neftune_noise_alpha"}) {
    if (adapter.has(key)) {
      throw base::Error(base::Code::kUnimplemented,
                        std::string("adapter option '") + key + "' is not built yet; remove it", adapter.where(key));
    }
  }
}

}  // namespace

bool is_group(const std::string& name) {
  for (const std::string& group : group_names()) {
    if (group == name) return true;
  }
  return false;
}

const std::vector<std::string>& group_names() {
  static const std::vector<std::string> names{"attention", "experts", "shared_experts",
                                              "dense_mlp", "router",  "all-linear"};
  return names;
}

LoraConfig LoraConfig::read(const Fields& adapter) {
  LoraConfig config;
  config.given = adapter.keys();
  refuse_unbuilt(adapter);
  config.r = adapter.get<int64_t>("r", config.r);
  if (config.r < 1 || config.r > 4096) {
    adapter.fail("r", "expected a rank from 1 to 4096, found " + std::to_string(config.r));
  }
  config.lora_alpha = adapter.get<double>("lora_alpha", config.lora_alpha);
  if (!std::isfinite(config.lora_alpha) || config.lora_alpha <= 0) {
    adapter.fail("lora_alpha", "expected a number above 0");
  }
  config.lora_dropout = adapter.get<double>("lora_dropout", config.lora_dropout);
  if (!(config.lora_dropout >= 0 && config.lora_dropout < 1)) {
    adapter.fail("lora_dropout", "expected a probability from 0 to below 1");
  }
  config.target_parameters = adapter.get<std::vector<std::string>>("target_parameters", {});
  // As in PEFT, parameters alone mean no modules beside them.
  if (!config.target_parameters.empty()) config.target_modules.clear();
  read_names(adapter, "target_modules", &config.target_modules, &config.target_pattern);
  read_names(adapter, "exclude_modules", &config.exclude_modules, &config.exclude_pattern);
  config.use_rslora = adapter.get<bool>("use_rslora", false);
  config.path = adapter.get<std::string>("path", "");
  if (config.target_modules.empty() && config.target_pattern.empty() && config.target_parameters.empty()) {
    adapter.fail("target_modules", "expected at least one target, found an empty list");
  }
  adapter.finish();
  return config;
}

double LoraConfig::scale() const {
  const double rank = static_cast<double>(r);
  return use_rslora ? lora_alpha / std::sqrt(rank) : lora_alpha / rank;
}

}  // namespace masbak::adapters

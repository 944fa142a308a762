// The adapter section of a run file.
#include <cmath>
#include <limits>
#include <sstream>

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

// A mapping from regular expressions to numbers above zero, in the order of the file.
std::vector<std::pair<std::string, double>> read_pattern(const Fields& adapter, const std::string& key, bool whole) {
  std::vector<std::pair<std::string, double>> result;
  if (!adapter.has(key)) return result;
  if (!adapter.raw(key).is_object()) adapter.fail(key, "expected a mapping from names to numbers");
  const Fields entries = adapter.child(key);
  for (const std::string& name : entries.keys()) {
    const double value = whole ? static_cast<double>(entries.get<int64_t>(name)) : entries.get<double>(name);
    if (!std::isfinite(value) || value <= 0) entries.fail(name, "expected a number above 0");
    result.push_back({name, value});
  }
  return result;
}

void read_layers(const Fields& adapter, LoraConfig* config) {
  if (adapter.has("layers_to_transform")) {
    config->layers_to_transform = adapter.raw("layers_to_transform").is_number()
                                      ? std::vector<int64_t>{adapter.get<int64_t>("layers_to_transform")}
                                      : adapter.get<std::vector<int64_t>>("layers_to_transform");
  }
  config->layers_pattern = name_list(adapter, "layers_pattern");
  if (!config->layers_pattern.empty() && config->layers_to_transform.empty()) {
    adapter.fail("layers_pattern", "expected layers_to_transform beside it, as in PEFT");
  }
  if (!config->layers_to_transform.empty() && !config->target_pattern.empty()) {
    adapter.fail("layers_to_transform", "cannot be used where target_modules is a regular expression, as in PEFT");
  }
}

std::string read_start(const Fields& adapter) {
  const char* key = "init_lora_weights";
  if (!adapter.has(key)) return "true";
  if (adapter.raw(key).is_boolean()) return adapter.get<bool>(key) ? "true" : "false";
  const std::string name = adapter.get<std::string>(key);
  if (name == "gaussian" || name == "pissa") return name;
  const std::string niter = "pissa_niter_";
  if (name.starts_with(niter)) {
    const std::string count = name.substr(niter.size());
    const bool digits = count.find_first_not_of("0123456789") == std::string::npos;
    if (digits && !count.empty() && count.size() < 4) return name;
  }
  for (const char* other : {"eva", "olora", "loftq", "corda", "orthogonal", "lora_ga", "mica"}) {
    if (name != other) continue;
    throw base::Error(
        base::Code::kUnimplemented,
        "init_lora_weights '" + name + "' is not built yet; there is: true, false, gaussian, pissa, " + "pissa_niter_N",
        adapter.where(key));
  }
  adapter.fail(key, "expected true, false, gaussian, pissa or pissa_niter_N, found '" + name + "'");
}

void read_loraplus(const Fields& adapter, LoraConfig* config) {
  config->loraplus_lr_ratio = adapter.get<double>("loraplus_lr_ratio", 0.0);
  if (config->loraplus_lr_ratio != 0 && !(config->loraplus_lr_ratio >= 1 && config->loraplus_lr_ratio <= 1e6)) {
    adapter.fail("loraplus_lr_ratio", "expected a number from 1 on, or 0 for none");
  }
  config->loraplus_lr_embedding = adapter.get<double>("loraplus_lr_embedding", config->loraplus_lr_embedding);
  if (!(config->loraplus_lr_embedding > 0 && config->loraplus_lr_embedding <= 10)) {
    adapter.fail("loraplus_lr_embedding", "expected a learning rate above 0");
  }
  if (adapter.has("loraplus_lr_embedding") && config->loraplus_lr_ratio == 0) {
    adapter.fail("loraplus_lr_embedding", "has no effect without loraplus_lr_ratio");
  }
}

void refuse_combinations(const Fields& adapter, const LoraConfig& config) {
  if (config.init_lora_weights.starts_with("pissa") && config.use_dora) {
    adapter.fail("init_lora_weights", "PiSSA cannot be used together with DoRA");
  }
}

void refuse_unbuilt(const Fields& adapter) {
  if (adapter.has("neftune_noise_alpha")) {
    adapter.fail("neftune_noise_alpha", "belongs to the training section, as in TrainingArguments");
  }
  if (adapter.has("bias")) {
    const std::string bias = adapter.get<std::string>("bias");
    if (bias != "none") {
      throw base::Error(base::Code::kUnimplemented,
                        "bias '" + bias + "' is not built yet; set it to none, or use lora_bias",
                        adapter.where("bias"));
    }
  }
  for (const char* key : {"fan_in_fan_out", "ensure_weight_tying"}) {
    if (adapter.get<bool>(key, false)) {
      throw base::Error(base::Code::kUnimplemented, std::string("adapter option '") + key + "' is not built yet",
                        adapter.where(key));
    }
  }
  for (const char* key : {"loftq_config", "megatron_config", "eva_config", "corda_config", "layer_replication",
                          "trainable_token_indices", "quantization"}) {
    if (adapter.has(key)) {
      throw base::Error(base::Code::kUnimplemented,
                        std::string("adapter option '") + key + "' is not built yet; remove it", adapter.where(key));
    }
  }
}

// Single quotes are YAML's plainest quoting: only the quote itself is doubled.
std::string quoted(const std::string& text) {
  std::string result = "'";
  for (char c : text) result += c == '\'' ? std::string("''") : std::string(1, c);
  return result + "'";
}

std::string number(double value) {
  std::ostringstream text;
  text.precision(std::numeric_limits<double>::max_digits10);
  text << value;
  return text.str();
}

void write_pattern(std::ostream& out, const char* key, const std::vector<std::pair<std::string, double>>& patterns) {
  if (patterns.empty()) return;
  out << "  " << key << ":\n";
  for (const auto& [name, value] : patterns) out << "    " << quoted(name) << ": " << number(value) << '\n';
}

template <typename Item, typename Text>
void write_list(std::ostream& out, const char* key, const std::vector<Item>& items, const Text& text) {
  if (items.empty()) return;
  out << "  " << key << ": [";
  for (size_t i = 0; i < items.size(); ++i) out << (i > 0 ? ", " : "") << text(items[i]);
  out << "]\n";
}

}  // namespace

std::vector<std::string> name_list(const Fields& fields, const std::string& key) {
  if (!fields.has(key)) return {};
  if (fields.raw(key).is_string()) return {fields.get<std::string>(key)};
  return fields.get<std::vector<std::string>>(key);
}

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
  config.use_dora = adapter.get<bool>("use_dora", false);
  config.lora_bias = adapter.get<bool>("lora_bias", false);
  config.init_lora_weights = read_start(adapter);
  config.rank_pattern = read_pattern(adapter, "rank_pattern", /*whole=*/true);
  config.alpha_pattern = read_pattern(adapter, "alpha_pattern", /*whole=*/false);
  config.modules_to_save = adapter.get<std::vector<std::string>>("modules_to_save", {});
  read_layers(adapter, &config);
  read_loraplus(adapter, &config);
  refuse_combinations(adapter, config);
  config.path = adapter.get<std::string>("path", "");
  if (config.target_modules.empty() && config.target_pattern.empty() && config.target_parameters.empty()) {
    adapter.fail("target_modules", "expected at least one target, found an empty list");
  }
  adapter.finish();
  return config;
}

double LoraConfig::scale_of(double alpha, int64_t rank) const {
  const double size = static_cast<double>(rank);
  return use_rslora ? alpha / std::sqrt(size) : alpha / size;
}

std::string LoraConfig::options_yaml() const {
  std::ostringstream out;
  const auto same = [](const std::string& text) { return quoted(text); };
  if (use_dora) out << "  use_dora: true\n";
  if (lora_bias) out << "  lora_bias: true\n";
  if (init_lora_weights == "false") {
    out << "  init_lora_weights: false\n";
  } else if (init_lora_weights != "true") {
    out << "  init_lora_weights: " << init_lora_weights << '\n';
  }
  write_pattern(out, "rank_pattern", rank_pattern);
  write_pattern(out, "alpha_pattern", alpha_pattern);
  write_list(out, "layers_to_transform", layers_to_transform, [](int64_t layer) { return std::to_string(layer); });
  write_list(out, "layers_pattern", layers_pattern, same);
  write_list(out, "modules_to_save", modules_to_save, same);
  if (loraplus_lr_ratio != 0) {
    out << "  loraplus_lr_ratio: " << number(loraplus_lr_ratio)
        << "\n  loraplus_lr_embedding: " << number(loraplus_lr_embedding) << '\n';
  }
  return out.str();
}

}  // namespace masbak::adapters

#include "models/families/config.h"

#include <set>

#include "base/error.h"
#include "models/checkpoint/quantised_tensor.h"

namespace masbak::models {
namespace {

// Fields of transformers' PretrainedConfig and of well-known converters that do not enter the function
// computed from token ids to logits.
const std::set<std::string>& silent_fields() {
  static const std::set<std::string> kFields = {"architectures",
                                                "auto_map",
                                                "bos_token_id",
                                                "chunk_size_feed_forward",
                                                "decoder_start_token_id",
                                                "dtype",
                                                "eos_token_id",
                                                "finetuning_task",
                                                "forced_bos_token_id",
                                                "forced_eos_token_id",
                                                "id2label",
                                                "initializer_range",
                                                "is_decoder",
                                                "label2id",
                                                "max_length",
                                                "model_type",
                                                "name_or_path",
                                                "num_labels",
                                                "output_attentions",
                                                "output_hidden_states",
                                                "output_router_logits",
                                                "pad_token_id",
                                                "prefix",
                                                "pretraining_tp",
                                                "problem_type",
                                                "return_dict",
                                                "return_dict_in_generate",
                                                "router_aux_loss_coef",
                                                "router_jitter_noise",
                                                "aux_loss_alpha",
                                                "seq_aux",
                                                "ep_size",
                                                "sep_token_id",
                                                "task_specific_params",
                                                "tokenizer_class",
                                                "torch_dtype",
                                                "torchscript",
                                                "transformers_version",
                                                "unsloth_fixed",
                                                "unsloth_version",
                                                "use_bfloat16",
                                                "use_cache",
                                                "attention_dropout",
                                                "hidden_dropout",
                                                "num_nextn_predict_layers",
                                                "num_mtp_layers",
                                                "qk_head_dim",
                                                "_name_or_path",
                                                "_attn_implementation",
                                                "is_encoder_decoder",
                                                "tie_encoder_decoder",
                                                "temperature",
                                                "top_k",
                                                "top_p",
                                                "do_sample",
                                                "num_beams",
                                                "length_penalty",
                                                "repetition_penalty",
                                                "diversity_penalty",
                                                "min_length",
                                                "typical_p",
                                                "early_stopping",
                                                "num_return_sequences",
                                                "num_beam_groups",
                                                "encoder_no_repeat_ngram_size",
                                                "no_repeat_ngram_size",
                                                "remove_invalid_values",
                                                "max_window_layers"};
  return kFields;
}

// Larger ones are damage; with these, no product of two or three sizes overflows.
constexpr int64_t kLargestSize = 1 << 24;

// Reading through Fields::raw would mark the key as known.
bool means_off(const base::Json& value) {
  return value.is_null() || (value.is_boolean() && !value.get<bool>()) || (value.is_number() && value == 0) ||
         ((value.is_string() || value.is_array() || value.is_object()) && value.empty()) ||
         (value.is_string() && value.get<std::string>().empty());
}

[[noreturn]] void refuse(const base::Fields& config, const std::string& key, const std::string& wanted) {
  throw base::Error(
      base::Code::kUnimplemented,
      "the model's configuration has " + key + " = " + config.raw(key).dump() + ", which is not implemented" + wanted,
      config.where(key));
}

}  // namespace

std::string stored_dtype(const base::Fields& config) {
  return config.get<std::string>("dtype", config.get<std::string>("torch_dtype", "float32"));
}

std::string compute_dtype(const base::Fields& config) {
  return stored_dtype(config) == "bfloat16" ? "bfloat16" : "float32";
}

int64_t read_size(const base::Fields& config, const std::string& key) {
  const int64_t value = config.get<int64_t>(key);
  if (value < 1 || value > kLargestSize) {
    config.fail(key, "expected a size from 1 to " + std::to_string(kLargestSize) + ", found " + std::to_string(value));
  }
  return value;
}

int64_t read_size(const base::Fields& config, const std::string& key, int64_t fallback) {
  return config.has(key) ? read_size(config, key) : fallback;
}

int64_t read_experts(const base::Fields& config, const std::string& key, int64_t fallback) {
  std::string found;
  for (const std::string name : {"num_experts", "num_local_experts", "n_routed_experts"}) {
    if (!config.has(name)) continue;
    if (!found.empty() && config.raw(name) != config.raw(found)) config.fail(name, "differs from " + found);
    found = name;
  }
  if (found.empty() && fallback > 0) return fallback;
  return read_size(config, found.empty() ? key : found);
}

void require_value(const base::Fields& config, const std::string& key, const base::Json& only) {
  if (config.has(key) && config.raw(key) != only) refuse(config, key, " (only " + only.dump() + " is)");
}

void read_common(const base::Fields& config) {
  if (config.get<std::string>("hidden_act", "silu") != "swish") require_value(config, "hidden_act", "silu");
  check_quantization_config(config);
}

void refuse_unread(const base::Fields& config) {
  for (const std::string& key : config.keys()) {
    if (silent_fields().count(key) || means_off(config.json()[key])) config.accept({key});
  }
  config.finish();
}

}  // namespace masbak::models

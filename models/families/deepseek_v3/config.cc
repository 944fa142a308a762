#include "models/families/deepseek_v3/config.h"

#include <algorithm>

#include "models/families/config.h"

namespace masbak::models::deepseek_v3 {
namespace {

void read_experts(const base::Fields& fields, Config& config) {
  config.experts = read_size(fields, "n_routed_experts",
                             fields.has("num_local_experts") ? read_size(fields, "num_local_experts") : 256);
  config.experts_per_token = read_size(fields, "num_experts_per_tok", 8);
  config.shared_experts = fields.get<int64_t>("n_shared_experts", 1);
  config.groups = read_size(fields, "n_group", 8);
  config.chosen_groups = read_size(fields, "topk_group", 4);
  config.normalise = fields.get<bool>("norm_topk_prob", true);
  config.routed_scale = fields.get<double>("routed_scaling_factor", 2.5);
  // Fields of DeepSeek's own code that transformers takes for granted.
  require_value(fields, "scoring_func", "sigmoid");
  require_value(fields, "topk_method", "noaux_tc");
  require_value(fields, "moe_layer_freq", 1);
  if (config.shared_experts < 0) fields.fail("n_shared_experts", "must not be negative");
  if (config.experts % config.groups != 0) {
    fields.fail("n_group", "must divide n_routed_experts = " + std::to_string(config.experts));
  }
  if (config.chosen_groups > config.groups) fields.fail("topk_group", "must be at most n_group");
  if (config.groups > 1 && config.experts / config.groups < 2) {
    fields.fail("n_group", "leaves groups of one expert; the router rates a group by its two best");
  }
  if (config.experts_per_token > config.experts / config.groups * config.chosen_groups) {
    fields.fail("num_experts_per_tok", "is more than the chosen groups hold");
  }
}

}  // namespace

// Fallbacks are those of transformers' DeepseekV3Config.
Config read_config(const base::Fields& fields) {
  Config config;
  config.vocabulary = read_size(fields, "vocab_size");
  config.hidden = read_size(fields, "hidden_size");
  config.layers = read_size(fields, "num_hidden_layers");
  config.heads = read_size(fields, "num_attention_heads");
  config.max_positions = read_size(fields, "max_position_embeddings", 4096);
  config.query_rank = fields.has("q_lora_rank") ? read_size(fields, "q_lora_rank") : 0;
  config.latent = read_size(fields, "kv_lora_rank", 512);
  config.nope = read_size(fields, "qk_nope_head_dim", 128);
  config.rope = read_size(fields, "qk_rope_head_dim", 64);
  config.value = read_size(fields, "v_head_dim", 128);
  config.dense_layers = std::min(fields.get<int64_t>("first_k_dense_replace", 3), config.layers);
  config.dense_inner = read_size(fields, "intermediate_size");
  config.expert_inner = read_size(fields, "moe_intermediate_size", 2048);
  config.attention_bias = fields.get<bool>("attention_bias", false);
  config.interleaved = fields.get<bool>("rope_interleave", true);
  config.tied = fields.get<bool>("tie_word_embeddings", false);
  config.norm_epsilon = fields.get<double>("rms_norm_eps", 1e-6);
  read_experts(fields, config);
  if (config.rope % 2 != 0) fields.fail("qk_rope_head_dim", "must be even");
  if (fields.get<int64_t>("num_key_value_heads", config.heads) != config.heads) {
    fields.fail("num_key_value_heads", "must equal num_attention_heads: latent attention makes keys for every head");
  }
  if (fields.get<int64_t>("head_dim", config.rope) != config.rope) {
    fields.fail("head_dim", "must equal qk_rope_head_dim in this family, as transformers writes it");
  }
  config.rotary = Rotary::read(fields, config.rope, config.max_positions);
  read_common(fields);
  refuse_unread(fields);
  return config;
}

}  // namespace masbak::models::deepseek_v3

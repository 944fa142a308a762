#include "models/families/outline.h"

#include <algorithm>
#include <cmath>

#include "models/families/config.h"

namespace masbak::models {

namespace {

// Bounds that keep a damaged configuration from filling the memory.
constexpr int64_t kMostLayers = 10000, kMostHeads = 65536, kMostExperts = 65536, kMostExpertsOfAllLayers = 1 << 20;

int64_t read_heads(const base::Fields& config) {
  const int64_t heads = read_size(config, "num_attention_heads");
  if (heads > kMostHeads) config.fail("num_attention_heads", "must be at most " + std::to_string(kMostHeads));
  return heads;
}

}  // namespace

Blueprint read_outline(const base::Fields& config, const std::string& family, const OutlineDefaults& defaults) {
  Blueprint plan;
  plan.family = family;
  plan.vocabulary = read_size(config, "vocab_size");
  plan.hidden = read_size(config, "hidden_size");
  plan.layers = read_size(config, "num_hidden_layers");
  if (plan.layers > kMostLayers) {
    config.fail("num_hidden_layers", "must be at most " + std::to_string(kMostLayers));
  }
  plan.max_positions = read_size(config, "max_position_embeddings", defaults.max_positions);
  plan.tied = config.get<bool>("tie_word_embeddings", false);
  plan.norm_epsilon = config.get<double>("rms_norm_eps", defaults.norm_epsilon);
  plan.dense_inner = read_size(config, "intermediate_size");
  plan.sparse.assign(plan.layers, false);
  return plan;
}

GroupedQueryShape read_grouped_query(const base::Fields& config, const Blueprint& plan, int64_t groups) {
  GroupedQueryShape shape;
  shape.heads = read_heads(config);
  const bool absent = !config.json().contains("num_key_value_heads");  // null always means one for each head
  shape.groups = read_size(config, "num_key_value_heads", absent && groups > 0 ? groups : shape.heads);
  shape.head_size = read_size(config, "head_dim", std::max<int64_t>(1, plan.hidden / shape.heads));
  shape.scale = 1.0 / std::sqrt(static_cast<double>(shape.head_size));
  if (shape.heads % shape.groups != 0) config.fail("num_key_value_heads", "must divide num_attention_heads");
  if (shape.head_size % 2 != 0) config.fail("head_dim", "must be even");
  return shape;
}

LatentShape read_latent(const base::Fields& config, const LatentDefaults& defaults) {
  LatentShape shape;
  shape.heads = read_heads(config);
  shape.query_rank = config.has("q_lora_rank") ? read_size(config, "q_lora_rank") : 0;
  shape.latent = read_size(config, "kv_lora_rank", defaults.latent);
  shape.nope = read_size(config, "qk_nope_head_dim", defaults.nope);
  shape.rope = read_size(config, "qk_rope_head_dim", defaults.rope);
  shape.value = read_size(config, "v_head_dim", defaults.value);
  shape.bias = config.get<bool>("attention_bias", false);
  shape.scale = 1.0 / std::sqrt(static_cast<double>(shape.query_size()));
  if (shape.rope % 2 != 0) config.fail("qk_rope_head_dim", "must be even");
  if (config.get<int64_t>("num_key_value_heads", shape.heads) != shape.heads) {
    config.fail("num_key_value_heads", "must equal num_attention_heads: latent attention makes keys for every head");
  }
  if (config.get<int64_t>("head_dim", shape.rope) != shape.rope) {
    config.fail("head_dim", "must equal qk_rope_head_dim in this family, as transformers writes it");
  }
  return shape;
}

void read_positions(const base::Fields& config, Blueprint& plan, double theta) {
  auto* latent = std::get_if<LatentShape>(&plan.attention);
  const int64_t size = latent ? latent->rope : std::get<GroupedQueryShape>(plan.attention).head_size;
  plan.rotary = Rotary::read(config, size, plan.max_positions, theta);
  plan.max_positions = plan.rotary.max_length();
  if (latent) latent->scale *= plan.rotary.attention_scale();
}

ExpertsShape read_softmax_experts(const base::Fields& config, int64_t inner, int64_t count, int64_t per_token) {
  ExpertsShape experts;
  experts.count = read_experts(config, "num_experts", count);
  experts.inner = inner;
  experts.rule.scoring = RouterRule::Scoring::kSoftmax;
  experts.rule.experts_per_token =
      per_token > 0 ? read_size(config, "num_experts_per_tok", per_token) : read_size(config, "num_experts_per_tok");
  if (experts.rule.experts_per_token > experts.count) {
    config.fail("num_experts_per_tok", "is more than the " + std::to_string(experts.count) + " experts");
  }
  return experts;
}

int64_t read_shared_inner(const base::Fields& config, int64_t inner, int64_t fallback) {
  const auto shared = config.get<int64_t>("n_shared_experts", fallback);
  if (shared < 0 || shared > kMostExperts) {
    config.fail("n_shared_experts", "must be from 0 to " + std::to_string(kMostExperts));
  }
  return shared * inner;
}

void read_groups(const base::Fields& config, ExpertsShape& experts, int64_t groups, int64_t chosen_groups) {
  RouterRule& rule = experts.rule;
  rule.groups = read_size(config, "n_group", groups);
  rule.chosen_groups = read_size(config, "topk_group", chosen_groups);
  if (experts.count % rule.groups != 0) {
    config.fail("n_group", "must divide the " + std::to_string(experts.count) + " experts");
  }
  if (rule.chosen_groups > rule.groups) config.fail("topk_group", "must be at most n_group");
  const int64_t size = experts.count / rule.groups;
  if (rule.groups > 1 && size < rule.rated_by) {
    config.fail("n_group", "leaves groups of one expert; the router rates a group by its two best");
  }
  if (rule.experts_per_token > size * rule.chosen_groups) {
    config.fail("num_experts_per_tok", "is more than the chosen groups hold");
  }
}

ExpertsShape read_sigmoid_experts(const base::Fields& config, const SigmoidDefaults& defaults) {
  ExpertsShape experts;
  experts.count = read_experts(config, "n_routed_experts", defaults.count);
  experts.inner = read_size(config, "moe_intermediate_size", defaults.inner);
  experts.shared_inner = read_shared_inner(config, experts.inner, 1);
  experts.correction = experts.float_router = true;
  experts.rule.experts_per_token = read_size(config, "num_experts_per_tok", defaults.per_token);
  experts.rule.normalise = config.get<bool>("norm_topk_prob", true);
  experts.rule.epsilon = 1e-20;
  experts.rule.scale = config.get<double>("routed_scaling_factor", defaults.scale);
  read_groups(config, experts, defaults.groups, defaults.chosen_groups);
  // Fields of the authors' own code that transformers takes for granted.
  require_value(config, "scoring_func", "sigmoid");
  require_value(config, "topk_method", "noaux_tc");
  require_value(config, "moe_layer_freq", 1);
  return experts;
}

void read_multipliers(const base::Fields& config, Blueprint& plan) {
  plan.embedding_multiplier = config.get<double>("embedding_multiplier", 1.0);
  plan.residual_multiplier = config.get<double>("residual_multiplier", 1.0);
  plan.logits_divisor = config.get<double>("logits_scaling", 1.0);
  if (plan.logits_divisor == 0) config.fail("logits_scaling", "logits are divided by it, so it must not be 0");
  std::get<GroupedQueryShape>(plan.attention).scale = config.get<double>("attention_multiplier", 1.0);
}

void finish_outline(const base::Fields& config, const Blueprint& plan) {
  if (plan.experts.count > kMostExperts || plan.layers * plan.experts.count > kMostExpertsOfAllLayers) {
    config.fail("num_hidden_layers", "times the number of experts is more than any model has");
  }
  read_common(config);
  refuse_unread(config);
}

}  // namespace masbak::models

#include "models/families/deepseek_v3/deepseek_v3.h"

#include <cmath>

#include "models/families/decoder.h"
#include "models/families/deepseek_v3/config.h"
#include "models/families/weights.h"
#include "models/layers/latent_attention.h"
#include "models/layers/mixture_of_experts.h"

namespace masbak::models {
namespace deepseek_v3 {
namespace {

std::vector<WeightRow> attention_rows(const Config& c) {
  const std::string self = "model.layers.{}.self_attn.";
  std::vector<WeightRow> rows = {
      {"model.layers.{}.input_layernorm.weight", {c.hidden}},
      {"model.layers.{}.post_attention_layernorm.weight", {c.hidden}},
      {self + "kv_a_proj_with_mqa.weight", {c.latent + c.rope, c.hidden}},
      {self + "kv_a_layernorm.weight", {c.latent}},
      {self + "kv_b_proj.weight", {c.heads * (c.nope + c.value), c.latent}},
      {self + "o_proj.weight", {c.hidden, c.heads * c.value}},
  };
  if (c.query_rank == 0) {
    rows.push_back({self + "q_proj.weight", {c.heads * c.query_size(), c.hidden}});
  } else {
    rows.push_back({self + "q_a_proj.weight", {c.query_rank, c.hidden}});
    rows.push_back({self + "q_a_layernorm.weight", {c.query_rank}});
    rows.push_back({self + "q_b_proj.weight", {c.heads * c.query_size(), c.query_rank}});
  }
  if (c.attention_bias) {
    if (c.query_rank > 0) rows.push_back({self + "q_a_proj.bias", {c.query_rank}});
    rows.push_back({self + "kv_a_proj_with_mqa.bias", {c.latent + c.rope}});
    rows.push_back({self + "o_proj.bias", {c.hidden}});
  }
  return rows;
}

std::vector<WeightRow> mlp_rows(const std::string& prefix, int64_t hidden, int64_t inner, int64_t experts = 0) {
  return {{prefix + ".gate_proj.weight", {inner, hidden}, experts},
          {prefix + ".up_proj.weight", {inner, hidden}, experts},
          {prefix + ".down_proj.weight", {hidden, inner}, experts}};
}

std::vector<WeightSpec> table(const Config& c) {
  std::vector<WeightRow> outside = {{"model.embed_tokens.weight", {c.vocabulary, c.hidden}},
                                    {"model.norm.weight", {c.hidden}}};
  if (!c.tied) outside.push_back({"lm_head.weight", {c.vocabulary, c.hidden}});
  std::vector<WeightRow> moe = {{"model.layers.{}.mlp.gate.weight", {c.experts, c.hidden}},
                                {"model.layers.{}.mlp.gate.e_score_correction_bias", {c.experts}}};
  const auto add = [&moe](std::vector<WeightRow> rows) { moe.insert(moe.end(), rows.begin(), rows.end()); };
  add(mlp_rows("model.layers.{}.mlp.experts.{e}", c.hidden, c.expert_inner, c.experts));
  if (c.shared_experts > 0) {
    add(mlp_rows("model.layers.{}.mlp.shared_experts", c.hidden, c.shared_experts * c.expert_inner));
  }
  return expand_weight_table(outside, {{0, c.layers, attention_rows(c)},
                                       {0, c.dense_layers, mlp_rows("model.layers.{}.mlp", c.hidden, c.dense_inner)},
                                       {c.dense_layers, c.layers, moe}});
}

ModelInfo info(const Config& c) {
  ModelInfo info;
  info.family = "deepseek_v3";
  info.layers = c.layers;
  info.hidden = c.hidden;
  info.vocabulary = c.vocabulary;
  info.experts = c.dense_layers < c.layers ? c.experts : 0;
  info.experts_per_token = info.experts > 0 ? c.experts_per_token : 0;
  info.max_positions = c.max_positions;
  info.parameters = count_parameters(table(c));
  const int64_t idle = info.experts - info.experts_per_token;
  info.active_parameters = info.parameters - (c.layers - c.dense_layers) * idle * 3 * c.hidden * c.expert_inner;
  info.kv_cache_numbers_per_token = c.layers * (c.latent + c.rope);
  info.tied_embeddings = c.tied;
  return info;
}

std::unique_ptr<Attention> attention(const Config& c, WeightReader& weights, const std::string& prefix) {
  auto attention = std::make_unique<LatentAttention>();
  attention->heads = c.heads;
  attention->nope_size = c.nope;
  attention->rope_size = c.rope;
  attention->value_size = c.value;
  attention->latent_size = c.latent;
  attention->scale = c.rotary.attention_scale() / std::sqrt(static_cast<double>(c.query_size()));
  attention->norm_epsilon = 1e-6;  // transformers builds these two norms with its default, not rms_norm_eps
  attention->interleaved = c.interleaved;
  if (c.query_rank == 0) {
    attention->q_proj = weights.projection(prefix + ".q_proj");
  } else {
    attention->q_a_proj = weights.projection(prefix + ".q_a_proj");
    attention->q_norm = weights.tensor(prefix + ".q_a_layernorm.weight");
    attention->q_b_proj = weights.projection(prefix + ".q_b_proj");
  }
  attention->kv_a_proj = weights.projection(prefix + ".kv_a_proj_with_mqa");
  attention->kv_norm = weights.tensor(prefix + ".kv_a_layernorm.weight");
  attention->kv_b_proj = weights.projection(prefix + ".kv_b_proj");
  attention->o_proj = weights.projection(prefix + ".o_proj");
  return attention;
}

std::unique_ptr<GatedMlp> mlp(WeightReader& weights, const std::string& prefix, Group group) {
  auto mlp = std::make_unique<GatedMlp>();
  mlp->group = group;
  mlp->gate_proj = weights.projection(prefix + ".gate_proj");
  mlp->up_proj = weights.projection(prefix + ".up_proj");
  mlp->down_proj = weights.projection(prefix + ".down_proj");
  return mlp;
}

std::unique_ptr<FeedForward> mixture(const Config& c, WeightReader& weights, const std::string& prefix) {
  auto moe = std::make_unique<MixtureOfExperts>();
  moe->router.gate = make_projection(weights.tensor(prefix + ".gate.weight", at::kFloat));
  moe->router.correction_E = weights.tensor(prefix + ".gate.e_score_correction_bias", at::kFloat);
  moe->router.experts_per_token = c.experts_per_token;
  moe->router.groups = c.groups;
  moe->router.chosen_groups = c.chosen_groups;
  moe->router.normalise = c.normalise;
  moe->router.scale = c.routed_scale;
  moe->gate_up_proj = weights.experts(prefix + ".experts", c.experts, {"gate_proj", "up_proj"}, "gate_up_proj");
  moe->down_proj = weights.experts(prefix + ".experts", c.experts, {"down_proj"}, "down_proj");
  if (c.shared_experts > 0) moe->shared_experts = mlp(weights, prefix + ".shared_experts", Group::kSharedExperts);
  return moe;
}

std::unique_ptr<CausalModel> load(const base::Fields& fields, const Checkpoint& checkpoint, at::ScalarType dtype) {
  const Config c = read_config(fields);
  WeightReader weights(checkpoint, table(c), dtype);
  DecoderParts parts;
  parts.info = info(c);
  parts.norm_epsilon = c.norm_epsilon;
  parts.rotary = c.rotary;
  parts.embedding_VD = weights.tensor("model.embed_tokens.weight");
  for (int64_t i = 0; i < c.layers; ++i) {
    const std::string prefix = "model.layers." + std::to_string(i);
    DecoderLayer layer;
    layer.attention_norm_D = weights.tensor(prefix + ".input_layernorm.weight");
    layer.attention = attention(c, weights, prefix + ".self_attn");
    layer.feed_forward_norm_D = weights.tensor(prefix + ".post_attention_layernorm.weight");
    layer.feed_forward =
        i < c.dense_layers ? mlp(weights, prefix + ".mlp", Group::kDenseMlp) : mixture(c, weights, prefix + ".mlp");
    parts.layers.push_back(std::move(layer));
  }
  parts.last_norm_D = weights.tensor("model.norm.weight");
  parts.head = c.tied ? make_projection(parts.embedding_VD) : weights.projection("lm_head");
  // The layers behind the last are for multi-token prediction, which plain generation does not use.
  std::vector<std::string> ignored;
  for (int64_t extra = 0; extra < 8; ++extra) {
    ignored.push_back("model.layers." + std::to_string(c.layers + extra) + ".");
  }
  if (c.tied) ignored.push_back("lm_head.");
  weights.finish(ignored);
  return std::make_unique<Decoder>(std::move(parts));
}

}  // namespace
}  // namespace deepseek_v3

Family deepseek_v3_family() {
  using namespace deepseek_v3;
  return {"deepseek_v3",
          {"DeepseekV3ForCausalLM"},
          [](const base::Fields& fields) { return info(read_config(fields)); },
          [](const base::Fields& fields) { return table(read_config(fields)); },
          load};
}

}  // namespace masbak::models

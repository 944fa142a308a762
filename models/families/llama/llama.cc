#include "models/families/llama/llama.h"

#include <cmath>

#include "models/families/config.h"
#include "models/families/decoder.h"
#include "models/families/weights.h"
#include "models/layers/grouped_query_attention.h"

namespace masbak::models {
namespace llama {
namespace {

struct Config {
  int64_t vocabulary, hidden, layers, heads, groups, head_size, inner, max_positions;
  bool attention_bias, mlp_bias, tied;
  double norm_epsilon;
  Rotary rotary;
};

// Fallbacks are those of transformers' LlamaConfig.
Config read_config(const base::Fields& fields) {
  Config config;
  config.vocabulary = read_size(fields, "vocab_size");
  config.hidden = read_size(fields, "hidden_size");
  config.layers = read_size(fields, "num_hidden_layers");
  config.heads = read_size(fields, "num_attention_heads");
  config.groups = read_size(fields, "num_key_value_heads", config.heads);
  config.head_size = read_size(fields, "head_dim", std::max<int64_t>(1, config.hidden / config.heads));
  config.inner = read_size(fields, "intermediate_size");
  config.max_positions = read_size(fields, "max_position_embeddings", 2048);
  config.attention_bias = fields.get<bool>("attention_bias", false);
  config.mlp_bias = fields.get<bool>("mlp_bias", false);
  config.tied = fields.get<bool>("tie_word_embeddings", false);
  config.norm_epsilon = fields.get<double>("rms_norm_eps", 1e-6);
  if (config.heads % config.groups != 0) fields.fail("num_key_value_heads", "must divide num_attention_heads");
  if (config.head_size % 2 != 0) fields.fail("head_dim", "must be even");
  config.rotary = Rotary::read(fields, config.head_size, config.max_positions);
  read_common(fields);
  refuse_unread(fields);
  return config;
}

std::vector<WeightRow> with_bias(std::vector<WeightRow> rows, bool bias) {
  const size_t weights = rows.size();
  for (size_t i = 0; bias && i < weights; ++i) {
    std::string name = rows[i].name;
    name.replace(name.rfind("weight"), 6, "bias");
    rows.push_back({name, {rows[i].shape[0]}});
  }
  return rows;
}

std::vector<WeightSpec> table(const Config& c) {
  std::vector<WeightRow> outside = {{"model.embed_tokens.weight", {c.vocabulary, c.hidden}},
                                    {"model.norm.weight", {c.hidden}}};
  if (!c.tied) outside.push_back({"lm_head.weight", {c.vocabulary, c.hidden}});
  const std::string layer = "model.layers.{}.";
  const std::vector<WeightRow> norms = {{layer + "input_layernorm.weight", {c.hidden}},
                                        {layer + "post_attention_layernorm.weight", {c.hidden}}};
  const std::vector<WeightRow> attention = {{layer + "self_attn.q_proj.weight", {c.heads * c.head_size, c.hidden}},
                                            {layer + "self_attn.k_proj.weight", {c.groups * c.head_size, c.hidden}},
                                            {layer + "self_attn.v_proj.weight", {c.groups * c.head_size, c.hidden}},
                                            {layer + "self_attn.o_proj.weight", {c.hidden, c.heads * c.head_size}}};
  const std::vector<WeightRow> mlp = {{layer + "mlp.gate_proj.weight", {c.inner, c.hidden}},
                                      {layer + "mlp.up_proj.weight", {c.inner, c.hidden}},
                                      {layer + "mlp.down_proj.weight", {c.hidden, c.inner}}};
  return expand_weight_table(outside, {{0, c.layers, norms},
                                       {0, c.layers, with_bias(attention, c.attention_bias)},
                                       {0, c.layers, with_bias(mlp, c.mlp_bias)}});
}

ModelInfo info(const Config& c) {
  ModelInfo info;
  info.family = "llama";
  info.layers = c.layers;
  info.hidden = c.hidden;
  info.vocabulary = c.vocabulary;
  info.max_positions = c.max_positions;
  info.parameters = info.active_parameters = count_parameters(table(c));
  info.kv_cache_numbers_per_token = c.layers * 2 * c.groups * c.head_size;
  info.tied_embeddings = c.tied;
  return info;
}

DecoderLayer layer(const Config& c, WeightReader& weights, const std::string& prefix) {
  auto attention = std::make_unique<GroupedQueryAttention>();
  attention->heads = c.heads;
  attention->groups = c.groups;
  attention->head_size = c.head_size;
  attention->scale = 1.0 / std::sqrt(static_cast<double>(c.head_size));
  attention->q_proj = weights.projection(prefix + ".self_attn.q_proj");
  attention->k_proj = weights.projection(prefix + ".self_attn.k_proj");
  attention->v_proj = weights.projection(prefix + ".self_attn.v_proj");
  attention->o_proj = weights.projection(prefix + ".self_attn.o_proj");
  auto mlp = std::make_unique<GatedMlp>();
  mlp->gate_proj = weights.projection(prefix + ".mlp.gate_proj");
  mlp->up_proj = weights.projection(prefix + ".mlp.up_proj");
  mlp->down_proj = weights.projection(prefix + ".mlp.down_proj");
  return {weights.tensor(prefix + ".input_layernorm.weight"),
          weights.tensor(prefix + ".post_attention_layernorm.weight"), std::move(attention), std::move(mlp)};
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
    parts.layers.push_back(layer(c, weights, "model.layers." + std::to_string(i)));
  }
  parts.last_norm_D = weights.tensor("model.norm.weight");
  parts.head = c.tied ? make_projection(parts.embedding_VD) : weights.projection("lm_head");
  weights.finish(c.tied ? std::vector<std::string>{"lm_head."} : std::vector<std::string>{});
  return std::make_unique<Decoder>(std::move(parts));
}

}  // namespace
}  // namespace llama

Family llama_family() {
  using namespace llama;
  return {"llama",
          {"LlamaForCausalLM"},
          [](const base::Fields& fields) { return info(read_config(fields)); },
          [](const base::Fields& fields) { return table(read_config(fields)); },
          load};
}

}  // namespace masbak::models

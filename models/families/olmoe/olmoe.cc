#include "models/families/olmoe/olmoe.h"

#include "models/families/outline.h"

namespace masbak::models {
namespace {

Blueprint read(const base::Fields& config) {
  Blueprint plan = read_outline(config, "olmoe", {4096, 1e-5});
  GroupedQueryShape attention = read_grouped_query(config, plan);
  if (attention.head_size * attention.heads != plan.hidden) {
    config.fail("hidden_size", "must be num_attention_heads times the size of a head in this family");
  }
  attention.bias = config.get<bool>("attention_bias", false);
  attention.norm = HeadNorm::kWhole;
  if (config.has("clip_qkv")) {
    attention.clip = config.get<double>("clip_qkv");
    if (!(attention.clip > 0)) config.fail("clip_qkv", "must be above zero, or null for no bound");
  }
  plan.attention = attention;
  plan.experts = read_softmax_experts(config, plan.dense_inner, 64, 8);
  plan.experts.rule.normalise = config.get<bool>("norm_topk_prob", false);
  plan.experts.rule.round = true;
  plan.sparse.assign(plan.layers, true);
  read_positions(config, plan);
  finish_outline(config, plan);
  return plan;
}

}  // namespace

BlueprintFamily olmoe_family() { return make_family<read>("olmoe", {"OlmoeForCausalLM"}); }

}  // namespace masbak::models

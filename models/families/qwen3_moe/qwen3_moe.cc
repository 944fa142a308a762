#include "models/families/qwen3_moe/qwen3_moe.h"

#include "models/families/config.h"
#include "models/families/outline.h"

namespace masbak::models {
namespace {

// Every decoder_sparse_step-th layer has experts, but for those of mlp_only_layers.
std::vector<bool> sparse_layers(const base::Fields& config, int64_t layers) {
  const int64_t step = read_size(config, "decoder_sparse_step", 1);
  std::vector<bool> sparse(layers);
  for (int64_t i = 0; i < layers; ++i) sparse[i] = (i + 1) % step == 0;
  for (int64_t layer : config.get<std::vector<int64_t>>("mlp_only_layers", {})) {
    if (layer >= 0 && layer < layers) sparse[layer] = false;
  }
  return sparse;
}

Blueprint read(const base::Fields& config) {
  Blueprint plan = read_outline(config, "qwen3_moe", {32768, 1e-6});
  GroupedQueryShape attention = read_grouped_query(config, plan, 4);
  attention.bias = config.get<bool>("attention_bias", false);
  attention.norm = HeadNorm::kEach;
  const int64_t window = config.has("sliding_window") ? read_size(config, "sliding_window") : 4096;
  const bool unlimited = config.json().contains("sliding_window") && !config.has("sliding_window");
  attention.window = config.get<bool>("use_sliding_window", false) && !unlimited ? window : 0;
  plan.attention = attention;
  plan.experts = read_softmax_experts(config, read_size(config, "moe_intermediate_size", 768), 128, 8);
  plan.experts.rule.normalise = config.get<bool>("norm_topk_prob", false);
  plan.experts.rule.round = true;
  plan.sparse = sparse_layers(config, plan.layers);
  read_positions(config, plan);
  finish_outline(config, plan);
  return plan;
}

}  // namespace

BlueprintFamily qwen3_moe_family() { return make_family<read>("qwen3_moe", {"Qwen3MoeForCausalLM"}); }

}  // namespace masbak::models

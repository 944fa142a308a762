#include "models/families/deepseek_v3/deepseek_v3.h"

#include "models/families/outline.h"

namespace masbak::models {
namespace {

Blueprint read(const base::Fields& config) {
  Blueprint plan = read_outline(config, "deepseek_v3", {4096, 1e-6});
  LatentShape attention = read_latent(config);
  attention.interleaved = config.get<bool>("rope_interleave", true);
  plan.attention = attention;
  plan.experts = read_sigmoid_experts(config, {256, 2048, 8, 8, 4, 2.5});
  const auto dense = config.get<int64_t>("first_k_dense_replace", 3);
  for (int64_t i = 0; i < plan.layers; ++i) plan.sparse[i] = i >= dense;
  read_positions(config, plan);
  finish_outline(config, plan);
  return plan;
}

}  // namespace

BlueprintFamily deepseek_v3_family() {
  return make_family<read>("deepseek_v3", {"DeepseekV3ForCausalLM"}, {"kimi_k2"});
}

}  // namespace masbak::models

#include "models/families/deepseek_v2/deepseek_v2.h"

#include "base/error.h"
#include "models/families/config.h"
#include "models/families/outline.h"

namespace masbak::models {
namespace {

// As transformers has it, the weights of the chosen experts are never normalised: it does not look at norm_topk_prob.
ExpertsShape read_router(const base::Fields& config) {
  ExpertsShape experts = read_softmax_experts(config, read_size(config, "moe_intermediate_size", 1407), 64, 0);
  experts.float_router = true;
  experts.shared_inner = read_shared_inner(config, experts.inner, 2);
  experts.rule.normalise = false;
  experts.rule.rated_by = 1;
  experts.rule.scale = config.get<double>("routed_scaling_factor", 1.0);
  const auto method = config.get<std::string>("topk_method", "greedy");
  if (method == "group_limited_greedy") {
    read_groups(config, experts, 1, 1);
  } else {
    require_value(config, "topk_method", "greedy");
    config.accept({"n_group", "topk_group"});
  }
  config.accept({"norm_topk_prob"});
  require_value(config, "scoring_func", "softmax");
  require_value(config, "moe_layer_freq", 1);
  return experts;
}

Blueprint read(const base::Fields& config) {
  Blueprint plan = read_outline(config, "deepseek_v2", {2048, 1e-6});
  plan.mlp_bias = config.get<bool>("mlp_bias", false);
  plan.attention = read_latent(config);
  plan.experts = read_router(config);
  const auto dense = config.get<int64_t>("first_k_dense_replace", 0);
  for (int64_t i = 0; i < plan.layers; ++i) plan.sparse[i] = i >= dense;
  read_positions(config, plan);
  finish_outline(config, plan);
  return plan;
}

}  // namespace

BlueprintFamily deepseek_v2_family() { return make_family<read>("deepseek_v2", {"DeepseekV2ForCausalLM"}); }

}  // namespace masbak::models

#include "models/families/granitemoe/granitemoe.h"

#include "models/families/outline.h"

namespace masbak::models {
namespace {

Blueprint read(const base::Fields& config) {
  Blueprint plan = read_outline(config, "granitemoe", {2048, 1e-6});
  GroupedQueryShape attention = read_grouped_query(config, plan);
  attention.bias = config.get<bool>("attention_bias", false);
  plan.attention = attention;
  plan.experts = read_softmax_experts(config, plan.dense_inner, 8, 2);
  plan.experts.rule.scoring = RouterRule::Scoring::kSoftmaxOfChosen;
  plan.experts.rule.round = true;
  ExpertNames& names = plan.experts.names;
  names.module = names.old_module = "block_sparse_moe";
  names.router = "router";
  names.old_router = "router.layer";
  names.old_gate_up = "input_linear.weight";
  names.old_down = "output_linear.weight";
  plan.sparse.assign(plan.layers, true);
  read_multipliers(config, plan);
  read_positions(config, plan);
  finish_outline(config, plan);
  return plan;
}

}  // namespace

BlueprintFamily granitemoe_family() { return make_family<read>("granitemoe", {"GraniteMoeForCausalLM"}); }

}  // namespace masbak::models

#include "models/families/mixtral/mixtral.h"

#include "models/families/config.h"
#include "models/families/outline.h"

namespace masbak::models {
namespace {

Blueprint read(const base::Fields& config) {
  Blueprint plan = read_outline(config, "mixtral", {131072, 1e-5});
  GroupedQueryShape attention = read_grouped_query(config, plan, 8);
  attention.window = config.has("sliding_window") ? read_size(config, "sliding_window") : 0;
  plan.attention = attention;
  plan.experts = read_softmax_experts(config, plan.dense_inner, 8, 2);
  ExpertNames& names = plan.experts.names;
  names.old_module = "block_sparse_moe";
  names.gate = "w1";
  names.up = "w3";
  names.down = "w2";
  plan.sparse.assign(plan.layers, true);
  read_positions(config, plan, 1e6);
  finish_outline(config, plan);
  return plan;
}

}  // namespace

BlueprintFamily mixtral_family() { return make_family<read>("mixtral", {"MixtralForCausalLM"}); }

}  // namespace masbak::models

#include "models/families/llama/llama.h"

#include "models/families/outline.h"

namespace masbak::models {
namespace {

Blueprint read(const base::Fields& config) {
  Blueprint plan = read_outline(config, "llama", {2048, 1e-6});
  GroupedQueryShape attention = read_grouped_query(config, plan);
  attention.bias = config.get<bool>("attention_bias", false);
  plan.attention = attention;
  plan.mlp_bias = config.get<bool>("mlp_bias", false);
  read_positions(config, plan);
  finish_outline(config, plan);
  return plan;
}

}  // namespace

BlueprintFamily llama_family() { return make_family<read>("llama", {"LlamaForCausalLM"}); }

}  // namespace masbak::models

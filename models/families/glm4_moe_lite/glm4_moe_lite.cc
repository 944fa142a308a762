#include "models/families/glm4_moe_lite/glm4_moe_lite.h"

#include "base/error.h"
#include "models/families/outline.h"

namespace masbak::models {
namespace {

// mlp_layer_types, which transformers reads, or the first layer dense; first_k_dense_replace, which the published file
// has instead, must say the same.
std::vector<bool> sparse_layers(const base::Fields& config, int64_t layers) {
  std::vector<bool> sparse(layers, true);
  sparse[0] = false;
  if (config.has("mlp_layer_types")) {
    const auto types = config.get<std::vector<std::string>>("mlp_layer_types");
    if (static_cast<int64_t>(types.size()) != layers) {
      config.fail("mlp_layer_types", "expected one for each of the " + std::to_string(layers) + " layers, found " +
                                         std::to_string(types.size()));
    }
    for (int64_t i = 0; i < layers; ++i) {
      if (types[i] != "dense" && types[i] != "sparse") {
        config.fail("mlp_layer_types", "expected dense or sparse, found \"" + types[i] + "\"");
      }
      sparse[i] = types[i] == "sparse";
    }
  }
  if (config.has("first_k_dense_replace")) {
    const auto dense = config.get<int64_t>("first_k_dense_replace");
    for (int64_t i = 0; i < layers; ++i) {
      if (sparse[i] == (i >= dense)) continue;
      config.fail("first_k_dense_replace", "contradicts mlp_layer_types, by whose default the first layer is dense");
    }
  }
  return sparse;
}

Blueprint read(const base::Fields& config) {
  Blueprint plan = read_outline(config, "glm4_moe_lite", {202752, 1e-5});
  LatentDefaults sizes;
  sizes.nope = 192;
  sizes.value = 256;
  LatentShape attention = read_latent(config, sizes);
  attention.interleaved = config.get<bool>("rope_interleave", true);
  plan.attention = attention;
  plan.experts = read_sigmoid_experts(config, {64, 1536, 4, 1, 1, 1.8});
  plan.sparse = sparse_layers(config, plan.layers);
  read_positions(config, plan);
  finish_outline(config, plan);
  return plan;
}

}  // namespace

BlueprintFamily glm4_moe_lite_family() { return make_family<read>("glm4_moe_lite", {"Glm4MoeLiteForCausalLM"}); }

}  // namespace masbak::models

// A blueprint and a checkpoint put together to a model.
#include "models/families/blueprint.h"
#include "models/families/decoder.h"
#include "models/families/weights.h"
#include "models/layers/latent_attention.h"
#include "models/layers/mixture_of_experts.h"

namespace masbak::models {
namespace {

std::unique_ptr<Attention> build(const Blueprint& plan, const GroupedQueryShape& shape, WeightReader& weights,
                                 const std::string& self) {
  auto attention = std::make_unique<GroupedQueryAttention>();
  attention->heads = shape.heads;
  attention->groups = shape.groups;
  attention->head_size = shape.head_size;
  attention->scale = shape.scale;
  attention->norm = shape.norm;
  attention->norm_epsilon = plan.norm_epsilon;
  attention->clip = shape.clip;
  attention->window = shape.window;
  attention->q_proj = weights.projection(self + ".q_proj");
  attention->k_proj = weights.projection(self + ".k_proj");
  attention->v_proj = weights.projection(self + ".v_proj");
  attention->o_proj = weights.projection(self + ".o_proj");
  if (shape.norm != HeadNorm::kNone) {
    attention->q_norm = weights.tensor(self + ".q_norm.weight");
    attention->k_norm = weights.tensor(self + ".k_norm.weight");
  }
  return attention;
}

std::unique_ptr<Attention> build(const Blueprint&, const LatentShape& shape, WeightReader& weights,
                                 const std::string& self) {
  auto attention = std::make_unique<LatentAttention>();
  attention->heads = shape.heads;
  attention->nope_size = shape.nope;
  attention->rope_size = shape.rope;
  attention->value_size = shape.value;
  attention->latent_size = shape.latent;
  attention->scale = shape.scale;
  attention->norm_epsilon = 1e-6;  // transformers builds these two norms with its default, not rms_norm_eps
  attention->interleaved = shape.interleaved;
  if (shape.query_rank == 0) {
    attention->q_proj = weights.projection(self + ".q_proj");
  } else {
    attention->q_a_proj = weights.projection(self + ".q_a_proj");
    attention->q_norm = weights.tensor(self + ".q_a_layernorm.weight");
    attention->q_b_proj = weights.projection(self + ".q_b_proj");
  }
  attention->kv_a_proj = weights.projection(self + ".kv_a_proj_with_mqa");
  attention->kv_norm = weights.tensor(self + ".kv_a_layernorm.weight");
  attention->kv_b_proj = weights.projection(self + ".kv_b_proj");
  attention->o_proj = weights.projection(self + ".o_proj");
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

std::unique_ptr<FeedForward> mixture(const ExpertsShape& shape, WeightReader& weights, const std::string& layer,
                                     at::ScalarType dtype) {
  const std::string module = layer + shape.names.module, gate = module + "." + shape.names.router;
  auto moe = std::make_unique<MixtureOfExperts>();
  moe->router_name = shape.names.router;
  moe->router.rule = shape.rule;
  moe->router.dtype = shape.float_router ? at::kFloat : dtype;
  moe->router.gate = weights.projection(gate, moe->router.dtype);
  if (shape.correction) {
    moe->router.correction_E = weights.tensor(gate + ".e_score_correction_bias", at::kFloat);
  }
  moe->gate_up_proj = weights.experts(module + ".experts.gate_up_proj");
  moe->down_proj = weights.experts(module + ".experts.down_proj");
  if (shape.shared_inner > 0) moe->shared_experts = mlp(weights, module + ".shared_experts", Group::kSharedExperts);
  return moe;
}

}  // namespace

std::unique_ptr<CausalModel> assemble(const Blueprint& plan, const Checkpoint& checkpoint, at::ScalarType dtype) {
  WeightReader weights(checkpoint, weight_table(plan), dtype);
  DecoderParts parts;
  parts.info = model_info(plan);
  parts.norm_epsilon = plan.norm_epsilon;
  parts.embedding_multiplier = plan.embedding_multiplier;
  parts.residual_multiplier = plan.residual_multiplier;
  parts.logits_divisor = plan.logits_divisor;
  parts.rotary = plan.rotary;
  parts.embedding_VD = weights.tensor("model.embed_tokens.weight");
  for (int64_t i = 0; i < plan.layers; ++i) {
    const std::string prefix = "model.layers." + std::to_string(i) + ".";
    DecoderLayer layer;
    layer.attention_norm_D = weights.tensor(prefix + "input_layernorm.weight");
    layer.attention = std::visit([&](const auto& shape) { return build(plan, shape, weights, prefix + "self_attn"); },
                                 plan.attention);
    layer.feed_forward_norm_D = weights.tensor(prefix + "post_attention_layernorm.weight");
    if (plan.sparse[i]) {
      layer.feed_forward_name = plan.experts.names.module;
      layer.feed_forward = mixture(plan.experts, weights, prefix, dtype);
    } else {
      layer.feed_forward = mlp(weights, prefix + "mlp", Group::kDenseMlp);
    }
    parts.layers.push_back(std::move(layer));
  }
  parts.last_norm_D = weights.tensor("model.norm.weight");
  parts.head = plan.tied ? make_projection(parts.embedding_VD) : weights.projection("lm_head");
  weights.finish(parts.info.left_out);
  return std::make_unique<Decoder>(std::move(parts));
}

}  // namespace masbak::models

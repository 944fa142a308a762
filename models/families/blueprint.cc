// The table of weights that a blueprint asks for, and the figures that follow from it.
#include "models/families/blueprint.h"

#include <algorithm>

#include "models/families/weights.h"

namespace masbak::models {
namespace {

// DeepSeek's and GLM's files hold up to this many layers of multi-token prediction behind the last.
constexpr int64_t kPredictionLayers = 8;

using Table = std::vector<WeightSpec>;

void add(Table& table, const std::string& name, std::vector<int64_t> shape, bool bias = false) {
  const int64_t rows = shape[0];
  table.push_back({name + ".weight", std::move(shape), {}});
  if (bias) table.push_back({name + ".bias", {rows}, {}});
}

void add_attention(Table& table, const std::string& self, int64_t hidden, const GroupedQueryShape& a) {
  add(table, self + ".q_proj", {a.heads * a.head_size, hidden}, a.bias);
  add(table, self + ".k_proj", {a.groups * a.head_size, hidden}, a.bias);
  add(table, self + ".v_proj", {a.groups * a.head_size, hidden}, a.bias);
  add(table, self + ".o_proj", {hidden, a.heads * a.head_size}, a.bias);
  if (a.norm == HeadNorm::kNone) return;
  const bool whole = a.norm == HeadNorm::kWhole;
  add(table, self + ".q_norm", {whole ? a.heads * a.head_size : a.head_size});
  add(table, self + ".k_norm", {whole ? a.groups * a.head_size : a.head_size});
}

void add_attention(Table& table, const std::string& self, int64_t hidden, const LatentShape& a) {
  if (a.query_rank == 0) {
    add(table, self + ".q_proj", {a.heads * a.query_size(), hidden});
  } else {
    add(table, self + ".q_a_proj", {a.query_rank, hidden}, a.bias);
    add(table, self + ".q_a_layernorm", {a.query_rank});
    add(table, self + ".q_b_proj", {a.heads * a.query_size(), a.query_rank});
  }
  add(table, self + ".kv_a_proj_with_mqa", {a.latent + a.rope, hidden}, a.bias);
  add(table, self + ".kv_a_layernorm", {a.latent});
  add(table, self + ".kv_b_proj", {a.heads * (a.nope + a.value), a.latent});
  add(table, self + ".o_proj", {hidden, a.heads * a.value}, a.bias);
}

void add_mlp(Table& table, const std::string& prefix, int64_t hidden, int64_t inner, bool bias) {
  add(table, prefix + ".gate_proj", {inner, hidden}, bias);
  add(table, prefix + ".up_proj", {inner, hidden}, bias);
  add(table, prefix + ".down_proj", {hidden, inner}, bias);
}

// A weight of all experts, and how older files hold it: fused under `fused`, or the parts of each expert, one below
// the other.
WeightSpec expert_weight(const std::string& name, std::vector<int64_t> shape, const std::string& fused,
                         const std::string& one_by_one, const std::vector<std::string>& parts) {
  WeightSpec spec = {name, std::move(shape), {}};
  std::vector<StoredTensor>& stored = spec.published.emplace_back();
  if (!fused.empty()) {
    stored.push_back({fused, spec.shape});
    return spec;
  }
  const int64_t rows = spec.shape[1] / static_cast<int64_t>(parts.size());
  for (int64_t e = 0; e < spec.shape[0]; ++e) {
    const std::string prefix = one_by_one + "." + std::to_string(e) + ".";
    for (size_t i = 0; i < parts.size(); ++i) {
      stored.push_back({prefix + parts[i] + ".weight", {rows, spec.shape[2]}, e, static_cast<int64_t>(i) * rows});
    }
  }
  return spec;
}

void add_experts(Table& table, const std::string& layer, const Blueprint& plan) {
  const ExpertsShape& experts = plan.experts;
  const ExpertNames& names = experts.names;
  const std::string module = layer + names.module, old = layer + names.old_module;
  add(table, module + "." + names.router, {experts.count, plan.hidden});
  if (names.old_module != names.module || names.old_router != names.router) {
    table.back().published = {{{old + "." + names.old_router + ".weight", table.back().shape}}};
  }
  if (experts.correction) {
    table.push_back({module + "." + names.router + ".e_score_correction_bias", {experts.count}, {}});
  }
  const auto fused = [&](const std::string& name) { return name.empty() ? name : old + "." + name; };
  table.push_back(expert_weight(module + ".experts.gate_up_proj", {experts.count, 2 * experts.inner, plan.hidden},
                                fused(names.old_gate_up), old + ".experts", {names.gate, names.up}));
  table.push_back(expert_weight(module + ".experts.down_proj", {experts.count, plan.hidden, experts.inner},
                                fused(names.old_down), old + ".experts", {names.down}));
  if (experts.shared_inner > 0) {
    add_mlp(table, module + ".shared_experts", plan.hidden, experts.shared_inner, plan.mlp_bias);
  }
}

}  // namespace

std::vector<WeightSpec> weight_table(const Blueprint& plan) {
  Table table;
  add(table, "model.embed_tokens", {plan.vocabulary, plan.hidden});
  for (int64_t i = 0; i < plan.layers; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    add(table, layer + "input_layernorm", {plan.hidden});
    std::visit([&](const auto& shape) { add_attention(table, layer + "self_attn", plan.hidden, shape); },
               plan.attention);
    add(table, layer + "post_attention_layernorm", {plan.hidden});
    if (plan.sparse[i]) {
      add_experts(table, layer, plan);
    } else {
      add_mlp(table, layer + "mlp", plan.hidden, plan.dense_inner, plan.mlp_bias);
    }
  }
  add(table, "model.norm", {plan.hidden});
  if (!plan.tied) add(table, "lm_head", {plan.vocabulary, plan.hidden});
  return table;
}

ModelInfo model_info(const Blueprint& plan) {
  ModelInfo info;
  info.family = plan.family;
  info.layers = plan.layers;
  info.hidden = plan.hidden;
  info.vocabulary = plan.vocabulary;
  info.max_positions = plan.max_positions;
  info.tied_embeddings = plan.tied;
  info.parameters = info.active_parameters = count_parameters(weight_table(plan));
  const int64_t sparse = std::count(plan.sparse.begin(), plan.sparse.end(), true);
  if (sparse > 0) {
    info.experts = plan.experts.count;
    info.experts_per_token = plan.experts.rule.experts_per_token;
    const int64_t idle = info.experts - info.experts_per_token;
    info.active_parameters -= sparse * idle * 3 * plan.hidden * plan.experts.inner;
  }
  if (const auto* a = std::get_if<LatentShape>(&plan.attention)) {
    info.kv_cache_numbers_per_token = plan.layers * (a->latent + a->rope);
    info.multi_head_numbers_per_token = plan.layers * a->heads * (a->query_size() + a->value);
    for (int64_t extra = 0; extra < kPredictionLayers; ++extra) {
      info.left_out.push_back("model.layers." + std::to_string(plan.layers + extra) + ".");
    }
  } else {
    const auto& g = std::get<GroupedQueryShape>(plan.attention);
    info.kv_cache_numbers_per_token = plan.layers * 2 * g.groups * g.head_size;
    info.multi_head_numbers_per_token = plan.layers * 2 * g.heads * g.head_size;
  }
  if (plan.tied) info.left_out.push_back("lm_head.");
  return info;
}

}  // namespace masbak::models

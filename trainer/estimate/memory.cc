#include "trainer/estimate/memory.h"

#include <algorithm>
#include <map>
#include <string>

#include "trainer/objectives/sft.h"

namespace masbak::trainer {
namespace {

using adapters::PlanPlace;

// Scores of attention held at once (models/layers/packed_attention.cc).
constexpr int64_t kScores = int64_t{1} << 22;

class LayerMemory {
 public:
  LayerMemory(const ModelShapes& shapes, const adapters::Plan& plan, const BatchShape& batch, int64_t size)
      : shapes_(shapes), batch_(batch), e_(size), t_(batch.tokens), d_(shapes.info.hidden) {
    for (const adapters::Target& target : plan.targets) ranks_[target.slot] = target.rank;
  }

  // What layer `layer` keeps, and what its backward pass needs beside it.
  void add(int64_t layer) {
    kept = workspace = 0;
    keep(2 * t_ * d_ * e_ + 2 * t_ * 4);  // what enters both norms
    attention(layer);
    if (const PlanPlace* gate_up = shapes_.find(layer, ".experts.gate_up_proj")) {
      mixture(layer, *gate_up);
    } else {
      mlp(layer, ".mlp.");
    }
  }

  int64_t kept = 0, workspace = 0;

 private:
  void keep(int64_t bytes) { kept += bytes; }
  void need(int64_t bytes) { workspace = std::max(workspace, bytes); }
  int64_t rank(const PlanPlace* place) const {
    const auto found = place ? ranks_.find(place->name) : ranks_.end();
    return found == ranks_.end() ? 0 : found->second;
  }
  // LoRA keeps its narrow product, and copies of its factors where the model's type is another.
  bool lora(const PlanPlace* place, int64_t rows) {
    const int64_t r = rank(place);
    if (r == 0) return false;
    keep(rows * r * e_);
    if (e_ != 4) keep(std::max<int64_t>(1, place->experts) * r * (place->in + place->out) * e_);
    return true;
  }

  void attention(int64_t layer) {
    const auto* q = shapes_.find(layer, ".self_attn.q_proj");
    const auto* q_a = shapes_.find(layer, ".self_attn.q_a_proj");
    const auto* q_b = shapes_.find(layer, ".self_attn.q_b_proj");
    const auto* kv_a = shapes_.find(layer, ".self_attn.kv_a_proj_with_mqa");
    const auto* kv_b = shapes_.find(layer, ".self_attn.kv_b_proj");
    const auto* k = shapes_.find(layer, ".self_attn.k_proj");
    const auto* v = shapes_.find(layer, ".self_attn.v_proj");
    const auto* o = shapes_.find(layer, ".self_attn.o_proj");
    bool input = false;
    for (const PlanPlace* place : {q, q_a, kv_a, k, v}) input |= lora(place, t_);
    if (input) keep(t_ * d_ * e_);
    const int64_t query = (q ? q : q_b)->out, out = o->in;
    lora(o, t_);
    keep(t_ * out * e_);
    const int64_t per_batch = shapes_.heads * batch_.longest * batch_.longest;
    const int64_t scores = 2 * std::min(std::max(per_batch, int64_t{1} << 16), kScores) * e_;
    if (!kv_a) {
      keep(t_ * (query + 2 * k->out) * e_ + t_ * shapes_.heads * 4);
      need(scores + t_ * (2 * query + 4 * k->out) * e_);
      return;
    }
    if (q_a) keep(t_ * q_a->out * e_ + t_ * 4);
    if (lora(q_b, t_)) keep(t_ * q_b->in * e_);
    keep(t_ * kv_a->out * e_ + t_ * 4);
    if (lora(kv_b, t_)) keep(t_ * kv_a->out * e_);
    const int64_t packed = batch_.padded_tokens * (2 * query + out) * e_;
    keep(packed + batch_.padded_tokens * shapes_.heads * 4 + batch_.kept_weights * shapes_.heads * e_);
    need(scores + packed + t_ * (query + kv_b->out) * e_ + batch_.padded_tokens * out * e_);
  }

  void mlp(int64_t layer, const std::string& prefix) {
    const auto* gate = shapes_.find(layer, prefix + "gate_proj");
    const auto* up = shapes_.find(layer, prefix + "up_proj");
    const auto* down = shapes_.find(layer, prefix + "down_proj");
    if (!gate || !up || !down) return;
    const bool at_gate = lora(gate, t_), at_up = lora(up, t_);
    if (at_gate || at_up) keep(t_ * d_ * e_);
    keep(2 * t_ * gate->out * e_);
    if (lora(down, t_)) keep(t_ * gate->out * e_);
    need(t_ * (4 * gate->out + 2 * d_) * e_);
  }

  void mixture(int64_t layer, const PlanPlace& gate_up) {
    const auto* down = shapes_.find(layer, ".experts.down_proj");
    const auto* gate = shapes_.find(layer, ".mlp.gate");
    const auto* router = gate ? gate : shapes_.find(layer, ".router");
    const int64_t k = shapes_.info.experts_per_token, experts = gate_up.experts, inner = down->in;
    const int64_t mean = t_ * k / std::max<int64_t>(1, experts);
    const int64_t rows = t_ * k + experts * (mean >= 96 ? 8 : mean >= 48 ? 4 : 0);
    keep(t_ * experts * 4 * 2 + t_ * k * (8 + 4 * 4) + rows * 4);
    if (lora(router, t_)) keep(t_ * d_ * 4);
    if (lora(&gate_up, rows)) keep(rows * d_ * e_);
    keep(rows * 2 * inner * e_);
    if (lora(down, rows)) keep(rows * inner * e_);
    keep(rows * d_ * e_);
    need(rows * (2 * d_ + 3 * inner) * e_);
    mlp(layer, ".shared_experts.");
  }

  const ModelShapes& shapes_;
  const BatchShape& batch_;
  const int64_t e_, t_, d_;
  std::map<std::string, int64_t> ranks_;
};

}  // namespace

StepMemory step_memory(const RunConfig& run, const ModelShapes& shapes, const adapters::Plan& plan,
                       const BatchShape& batch, const std::vector<bool>& again) {
  const int64_t size = run.training.dtype == "float32" ? 4 : 2;
  const int64_t state = batch.tokens * shapes.info.hidden * size;
  const int64_t ends = 2 * state + 2 * batch.labelled * shapes.info.hidden * size;
  LayerMemory layer(shapes, plan, batch, size);
  int64_t held = ends, peak = 0;
  // On the way back to a layer what the later ones held is gone, so that its own comes beside that of the earlier ones.
  for (int64_t i = 0; i < shapes.info.layers; ++i) {
    layer.add(i);
    const bool is_again = again[static_cast<size_t>(i)];
    held += is_again ? state : layer.kept;
    peak = std::max(peak, held + (is_again ? layer.kept : 0) + layer.workspace);
  }
  // Preferences look at the logits in float32, beside the model's own.
  const bool sft = run.objective == "sft";
  const int64_t rows = std::min(batch.labelled, logit_rows(shapes.info.vocabulary, sft ? size : 4));
  const int64_t copies = sft ? size : size + 3 * 4;
  peak = std::max(peak, held + rows * shapes.info.vocabulary * copies);
  return {held, peak - held};
}

}  // namespace masbak::trainer

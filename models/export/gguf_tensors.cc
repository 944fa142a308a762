// Shape letters: D hidden size, O rows of a projection, E experts, F neurons of an expert, H heads, L latent size.
#include "models/export/gguf_tensors.h"

#include <ATen/ops/tensor.h>

#include <utility>

#include "base/error.h"

namespace masbak::models {
namespace {

// Rows [begin, begin + size) of each head of `head_size` rows: halves (j, j + size / 2) become neighbours.
at::Tensor in_pairs(const at::Tensor& rows, int64_t head_size, int64_t begin, int64_t size) {
  std::vector<int64_t> shape = rows.sizes().vec();
  shape[0] = head_size;
  shape.insert(shape.begin(), rows.size(0) / head_size);
  at::Tensor changed = rows.reshape(shape).clone();
  const at::Tensor turned = changed.narrow(1, begin, size);
  std::vector<int64_t> halves = turned.sizes().vec();
  halves[1] = size / 2;
  halves.insert(halves.begin() + 1, 2);
  const at::Tensor pairs = turned.reshape(halves).transpose(1, 2).reshape(turned.sizes()).clone();
  changed.narrow(1, begin, size).copy_(pairs);
  return changed.reshape(rows.sizes());
}

class Tensors {
 public:
  Tensors(const Blueprint& plan, const GgufArchitecture& architecture, GgufType type, WeightReader& weights,
          GgufWriter& out)
      : plan_(plan), pairs_(architecture.pairs), type_(type), weights_(weights), out_(out) {}

  using Change = std::function<at::Tensor(const at::Tensor&)>;

  // One weight under another name, perhaps with its rows in another order.
  void plain(const std::string& to, const std::string& from, std::vector<int64_t> shape, const Change& change = {}) {
    const GgufType type = shape.size() == 1 ? GgufType::kF32 : type_;
    add(to, from, std::move(shape), type, change);
  }

  void add(const std::string& to, const std::string& from, std::vector<int64_t> shape, GgufType type,
           const Change& change = {}) {
    out_.add(to, std::move(shape), type, [&weights = weights_, from, change] {
      const at::Tensor tensor = weights.tensor(from, at::kFloat);
      return change ? change(tensor) : tensor;
    });
  }

  // A linear, with its bias where the model has one.
  void linear(const std::string& to, const std::string& from, int64_t out, int64_t in, const Change& change = {}) {
    plain(to + ".weight", from + ".weight", {out, in}, change);
    if (weights_.in_table(from + ".bias")) plain(to + ".bias", from + ".bias", {out}, change);
  }

  void attention(const std::string& blk, const std::string& self, const GroupedQueryShape& shape) {
    const int64_t size = shape.head_size, queries = shape.heads * size, keys = shape.groups * size,
                  hidden = plan_.hidden;
    Change turned;
    if (pairs_) turned = [size](const at::Tensor& rows) { return in_pairs(rows, size, 0, size); };
    linear(blk + "attn_q", self + "q_proj", queries, hidden, turned);
    linear(blk + "attn_k", self + "k_proj", keys, hidden, turned);
    linear(blk + "attn_v", self + "v_proj", keys, hidden);
    linear(blk + "attn_output", self + "o_proj", hidden, queries);
    if (shape.norm == HeadNorm::kNone) return;
    const bool whole = shape.norm == HeadNorm::kWhole;
    plain(blk + "attn_q_norm.weight", self + "q_norm.weight", {whole ? queries : size});
    plain(blk + "attn_k_norm.weight", self + "k_norm.weight", {whole ? keys : size});
  }

  void attention(const std::string& blk, const std::string& self, const LatentShape& shape) {
    const int64_t hidden = plan_.hidden, heads = shape.heads, latent = shape.latent, nope = shape.nope;
    const int64_t rope = shape.rope, size = shape.query_size(), value = shape.value;
    Change queries, keys;
    if (!shape.interleaved) {
      queries = [=](const at::Tensor& rows) { return in_pairs(rows, size, nope, rope); };
      keys = [=](const at::Tensor& rows) { return in_pairs(rows, latent + rope, latent, rope); };
    }
    if (shape.query_rank == 0) {
      linear(blk + "attn_q", self + "q_proj", heads * size, hidden, queries);
    } else {
      linear(blk + "attn_q_a", self + "q_a_proj", shape.query_rank, hidden);
      plain(blk + "attn_q_a_norm.weight", self + "q_a_layernorm.weight", {shape.query_rank});
      linear(blk + "attn_q_b", self + "q_b_proj", heads * size, shape.query_rank, queries);
    }
    linear(blk + "attn_kv_a_mqa", self + "kv_a_proj_with_mqa", latent + rope, hidden, keys);
    plain(blk + "attn_kv_a_norm.weight", self + "kv_a_layernorm.weight", {latent});
    // The key part of each head is multiplied into the query, so it lies the other way round.
    plain(blk + "attn_k_b.weight", self + "kv_b_proj.weight", {heads, latent, nope}, [=](const at::Tensor& both) {
      return both.reshape({heads, nope + value, latent}).narrow(1, 0, nope).transpose(1, 2);
    });
    plain(blk + "attn_v_b.weight", self + "kv_b_proj.weight", {heads, value, latent}, [=](const at::Tensor& both) {
      return both.reshape({heads, nope + value, latent}).narrow(1, nope, value);
    });
    linear(blk + "attn_output", self + "o_proj", hidden, heads * value);
  }

  void mlp(const std::string& blk, const std::string& module, int64_t inner, const std::string& suffix = "") {
    linear(blk + "ffn_gate" + suffix, module + "gate_proj", inner, plan_.hidden);
    linear(blk + "ffn_up" + suffix, module + "up_proj", inner, plan_.hidden);
    linear(blk + "ffn_down" + suffix, module + "down_proj", plan_.hidden, inner);
  }

  void experts(const std::string& blk, const std::string& layer) {
    const ExpertsShape& shape = plan_.experts;
    const std::string module = layer + shape.names.module + ".", router = module + shape.names.router;
    const int64_t count = shape.count, inner = shape.inner, hidden = plan_.hidden;
    add(blk + "ffn_gate_inp.weight", router + ".weight", {count, hidden}, GgufType::kF32);
    if (shape.correction) plain(blk + "exp_probs_b.bias", router + ".e_score_correction_bias", {count});
    plain(blk + "ffn_gate_exps.weight", module + "experts.gate_up_proj", {count, inner, hidden},
          [inner](const at::Tensor& both_EFD) { return both_EFD.narrow(1, 0, inner); });
    plain(blk + "ffn_up_exps.weight", module + "experts.gate_up_proj", {count, inner, hidden},
          [inner](const at::Tensor& both_EFD) { return both_EFD.narrow(1, inner, inner); });
    plain(blk + "ffn_down_exps.weight", module + "experts.down_proj", {count, hidden, inner});
    if (shape.shared_inner > 0) mlp(blk, module + "shared_experts.", shape.shared_inner, "_shexp");
  }

 private:
  const Blueprint& plan_;
  const bool pairs_;
  const GgufType type_;
  WeightReader& weights_;
  GgufWriter& out_;
};

}  // namespace

void add_tensors(const Blueprint& plan, const GgufArchitecture& architecture, const std::vector<double>& rope_divisors,
                 GgufType type, WeightReader& weights, GgufWriter& out) {
  Tensors tensors(plan, architecture, type, weights, out);
  tensors.plain("token_embd.weight", "model.embed_tokens.weight", {plan.vocabulary, plan.hidden});
  for (int64_t i = 0; i < plan.layers; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".", blk = "blk." + std::to_string(i) + ".";
    tensors.plain(blk + "attn_norm.weight", layer + "input_layernorm.weight", {plan.hidden});
    std::visit([&](const auto& shape) { tensors.attention(blk, layer + "self_attn.", shape); }, plan.attention);
    tensors.plain(blk + "ffn_norm.weight", layer + "post_attention_layernorm.weight", {plan.hidden});
    if (plan.sparse[static_cast<size_t>(i)]) {
      tensors.experts(blk, layer);
    } else {
      tensors.mlp(blk, layer + "mlp.", plan.dense_inner);
    }
  }
  tensors.plain("output_norm.weight", "model.norm.weight", {plan.hidden});
  if (!plan.tied || architecture.needs_output) {
    tensors.plain("output.weight", plan.tied ? "model.embed_tokens.weight" : "lm_head.weight",
                  {plan.vocabulary, plan.hidden});
  }
  if (rope_divisors.empty()) return;
  out.add("rope_freqs.weight", {static_cast<int64_t>(rope_divisors.size())}, GgufType::kF32,
          [rope_divisors] { return at::tensor(at::ArrayRef<double>(rope_divisors)); });
}

}  // namespace masbak::models

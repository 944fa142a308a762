// A random model of two layers, one dense and one with experts, put together in memory: for tests that need a
// model but no files. Its logits, whole and through a cache.
#pragma once

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <memory>
#include <vector>

#include "base/error.h"
#include "models/families/decoder.h"
#include "models/layers/latent_attention.h"
#include "models/layers/mixture_of_experts.h"

namespace masbak::models::testing {

constexpr int64_t kHidden = 32, kHeads = 4, kNope = 10, kRope = 6, kValue = 9, kLatent = 14, kVocabulary = 50;
constexpr int64_t kExperts = 6, kPerToken = 2, kInner = 12, kPositions = 96, kLayers = 2;

inline at::Tensor random_weight(std::vector<int64_t> sizes, at::ScalarType type) {
  const double scale = 1.0 / std::sqrt(static_cast<double>(sizes.back()));
  return (at::randn(sizes) * scale).to(type);
}

inline std::shared_ptr<Projection> random_projection(int64_t out, int64_t in, at::ScalarType type) {
  return make_projection(random_weight({out, in}, type));
}

inline std::unique_ptr<GatedMlp> random_mlp(int64_t inner, at::ScalarType type, Group group = Group::kDenseMlp) {
  auto mlp = std::make_unique<GatedMlp>();
  mlp->group = group;
  mlp->gate_proj = random_projection(inner, kHidden, type);
  mlp->up_proj = random_projection(inner, kHidden, type);
  mlp->down_proj = random_projection(kHidden, inner, type);
  return mlp;
}

inline std::unique_ptr<Attention> random_attention(at::ScalarType type) {
  auto attention = std::make_unique<LatentAttention>();
  attention->heads = kHeads;
  attention->nope_size = kNope;
  attention->rope_size = kRope;
  attention->value_size = kValue;
  attention->latent_size = kLatent;
  attention->scale = 0.25;
  attention->q_proj = random_projection(kHeads * (kNope + kRope), kHidden, type);
  attention->kv_a_proj = random_projection(kLatent + kRope, kHidden, type);
  attention->kv_norm = at::ones({kLatent}, type);
  attention->kv_b_proj = random_projection(kHeads * (kNope + kValue), kLatent, type);
  attention->o_proj = random_projection(kHidden, kHeads * kValue, type);
  return attention;
}

inline std::unique_ptr<FeedForward> random_experts(at::ScalarType type) {
  auto moe = std::make_unique<MixtureOfExperts>();
  moe->router.gate = make_projection(at::randn({kExperts, kHidden}));
  moe->router.correction_E = at::randn({kExperts}) * 0.1;
  moe->router.rule.experts_per_token = kPerToken;
  moe->gate_up_proj = make_expert_projection(random_weight({kExperts, 2 * kInner, kHidden}, type));
  moe->down_proj = make_expert_projection(random_weight({kExperts, kHidden, kInner}, type));
  moe->shared_experts = random_mlp(kInner, type, Group::kSharedExperts);
  return moe;
}

inline std::unique_ptr<CausalModel> small_model(uint64_t seed = 0, at::ScalarType type = at::kFloat) {
  at::manual_seed(seed);
  DecoderParts parts;
  parts.info.family = "small";
  parts.info.layers = kLayers;
  parts.info.hidden = kHidden;
  parts.info.vocabulary = kVocabulary;
  parts.info.max_positions = kPositions;
  parts.info.kv_cache_numbers_per_token = kLayers * (kLatent + kRope);
  parts.rotary = Rotary::read(base::Fields::from_json(base::Json::object(), "config.json"), kRope, kPositions);
  parts.embedding_VD = at::randn({kVocabulary, kHidden}).to(type);
  parts.last_norm_D = at::ones({kHidden}, type);
  for (int64_t i = 0; i < kLayers; ++i) {
    std::unique_ptr<FeedForward> feed_forward;
    if (i == 0) {
      feed_forward = random_mlp(2 * kInner, type);
    } else {
      feed_forward = random_experts(type);
    }
    parts.layers.push_back(
        {at::ones({kHidden}, type), at::ones({kHidden}, type), random_attention(type), std::move(feed_forward)});
  }
  parts.head = make_projection(parts.embedding_VD);
  return std::make_unique<Decoder>(std::move(parts));
}

// Logits of every token of the sequences, without a cache.
inline at::Tensor whole_logits(CausalModel& model, const std::vector<std::vector<int32_t>>& sequences) {
  const at::NoGradGuard no_grad;
  return model.logits(model.hidden(make_batch(sequences)));
}

// The same for one sequence fed through one cache in pieces of the given lengths.
inline at::Tensor piecewise_logits(CausalModel& model, const std::vector<int32_t>& ids,
                                   const std::vector<int64_t>& lengths) {
  const at::NoGradGuard no_grad;
  const auto cache = model.make_cache();
  std::vector<at::Tensor> rows;
  auto next = ids.begin();
  for (int64_t length : lengths) {
    Batch batch = make_batch({std::vector<int32_t>(next, next + length)});
    batch.slices[0].cache = cache.get();
    rows.push_back(model.logits(model.hidden(batch)));
    next += length;
  }
  return at::cat(rows);
}

// A batch of the last tokens of two sequences, whose others their caches hold, around a new one.
struct PrefillAndDecode {
  PrefillAndDecode(CausalModel& model, const std::vector<int32_t>& first, const std::vector<int32_t>& second,
                   const std::vector<int32_t>& third)
      : of_first(model.make_cache()), of_second(model.make_cache()), of_third(model.make_cache()) {
    const at::NoGradGuard no_grad;
    Batch warm = make_batch(
        {std::vector<int32_t>(first.begin(), first.end() - 1), std::vector<int32_t>(third.begin(), third.end() - 1)});
    warm.slices[0].cache = of_first.get();
    warm.slices[1].cache = of_third.get();
    model.hidden(warm);
    Batch mixed = make_batch({{first.back()}, second, {third.back()}});
    mixed.slices[0].cache = of_first.get();
    mixed.slices[1].cache = of_second.get();
    mixed.slices[2].cache = of_third.get();
    logits = model.logits(model.hidden(mixed));
  }

  std::unique_ptr<KvCache> of_first, of_second, of_third;
  at::Tensor logits;  // of the last of `first`, of all of `second`, of the last of `third`
};

inline double difference(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

}  // namespace masbak::models::testing

#include "models/families/decoder.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>

#include "base/error.h"
#include "models/layers/fused.h"
#include "models/layers/recompute.h"

namespace masbak::models {
namespace {

class DecoderCache final : public KvCache {
 public:
  explicit DecoderCache(int64_t layers) : rows(layers) {}
  int64_t length() const override { return held; }
  int64_t bytes() const override {
    int64_t sum = 0;
    for (const CacheRows& layer : rows) sum += layer.bytes();
    return sum;
  }
  void truncate(int64_t length) override { held = std::min(held, std::max<int64_t>(length, 0)); }

  std::vector<CacheRows> rows;
  // Moves on when a forward pass is through, so that one that throws leaves the cache as it was.
  int64_t held = 0;
};

DecoderCache* own_cache(KvCache* cache, size_t layers) {
  if (!cache) return nullptr;
  auto* own = dynamic_cast<DecoderCache*>(cache);
  if (!own || own->rows.size() != layers) {
    throw base::Error(base::Code::kInternal, "a batch must use caches that this model made");
  }
  return own;
}

at::Tensor scaled(const at::Tensor& x, double factor) { return factor == 1 ? x : x * factor; }

}  // namespace

Batch make_batch(const std::vector<std::vector<int32_t>>& sequences) {
  Batch batch;
  std::vector<int64_t> ids;
  for (const std::vector<int32_t>& sequence : sequences) {
    batch.slices.push_back({static_cast<int64_t>(ids.size()), static_cast<int64_t>(sequence.size()), nullptr});
    ids.insert(ids.end(), sequence.begin(), sequence.end());
  }
  batch.ids_T =
      at::from_blob(ids.data(), {static_cast<int64_t>(ids.size())}, at::TensorOptions().dtype(at::kLong)).clone();
  return batch;
}

void CausalModel::checkpoint_gradients(const std::vector<bool>& layers, const at::Generator&) {
  if (std::find(layers.begin(), layers.end(), true) == layers.end()) return;
  throw base::Error(base::Code::kUnimplemented, "gradient checkpointing is not built for models of this kind");
}

at::ScalarType CausalModel::dtype() const { return embedding_weight().scalar_type(); }

Context Decoder::context(const Batch& batch) const {
  Context context;
  std::vector<Rotary::Span> spans;
  int64_t next = 0;
  for (const Slice& slice : batch.slices) {
    if (slice.begin != next || slice.length < 1) {
      throw base::Error(base::Code::kInternal, "the slices of a batch must be its tokens in order, none empty");
    }
    next += slice.length;
    DecoderCache* cache = own_cache(slice.cache, parts_.layers.size());
    const int64_t past = cache ? cache->held : 0;
    if (past + slice.length > parts_.info.max_positions) {
      base::fail_input("a sequence of " + std::to_string(past + slice.length) + " tokens is longer than the model's " +
                       std::to_string(parts_.info.max_positions) + " positions");
    }
    context.segments.push_back({slice.begin, slice.length, past, cache ? &cache->rows : nullptr});
    spans.push_back({past, past + slice.length});
  }
  if (next == 0 || next != batch.ids_T.size(0)) {
    throw base::Error(base::Code::kInternal,
                      "the slices of a batch must cover its tokens, of which there must be some");
  }
  std::tie(context.cos_TF, context.sin_TF) = parts_.rotary.angles(spans);
  context.cos_TF = context.cos_TF.to(parts_.embedding_VD.device());
  context.sin_TF = context.sin_TF.to(parts_.embedding_VD.device());
  return context;
}

std::vector<at::Tensor> Decoder::run_layer(size_t i, const at::Tensor& x_TD, const Context& context, bool routing) {
  DecoderLayer& layer = parts_.layers[i];
  const at::Tensor normed = rms_norm(x_TD, layer.attention_norm_D, parts_.norm_epsilon);
  const at::Tensor between_TD =
      x_TD + scaled(layer.attention->forward(normed, context, static_cast<int>(i)), parts_.residual_multiplier);
  Routing routed;
  const at::Tensor again = rms_norm(between_TD, layer.feed_forward_norm_D, parts_.norm_epsilon);
  const at::Tensor out_TD =
      between_TD + scaled(layer.feed_forward->forward(again, routing ? &routed : nullptr), parts_.residual_multiplier);
  if (!routed.scores_TE.defined()) return {out_TD};
  return {out_TD, routed.scores_TE, routed.chosen_TK};
}

at::Tensor Decoder::hidden(const Batch& batch, std::vector<RouterRecord>* routers) {
  const Context context = this->context(batch);
  if (routers) routers->clear();
  at::Tensor x_TD =
      scaled(embedding_->forward(batch.ids_T.to(parts_.embedding_VD.device())), parts_.embedding_multiplier);
  const bool again_later = !checkpointed_.empty() && c10::GradMode::is_enabled();
  for (size_t i = 0; i < parts_.layers.size(); ++i) {
    const bool routing = routers != nullptr;
    const std::vector<at::Tensor> results =
        again_later && checkpointed_[i]
            ? recompute(
                  x_TD, [this, i, context, routing](const at::Tensor& x) { return run_layer(i, x, context, routing); },
                  random_)
            : run_layer(i, x_TD, context, routing);
    x_TD = results[0];
    if (results.size() > 1) routers->push_back({static_cast<int>(i), results[1], results[2]});
  }
  for (const Slice& slice : batch.slices) {
    if (slice.cache) static_cast<DecoderCache*>(slice.cache)->held += slice.length;
  }
  return rms_norm(x_TD, parts_.last_norm_D, parts_.norm_epsilon);
}

at::Tensor Decoder::logits(const at::Tensor& hidden_ND) {
  const at::Tensor logits_NV = parts_.head->forward(hidden_ND);
  return parts_.logits_divisor == 1 ? logits_NV : logits_NV / parts_.logits_divisor;
}

void Decoder::checkpoint_gradients(const std::vector<bool>& layers, const at::Generator& random) {
  if (layers.size() != parts_.layers.size()) {
    throw base::Error(base::Code::kInternal, "checkpointing of another number of layers than there are");
  }
  checkpointed_ = layers;
  random_ = random;
}

std::vector<Slot> Decoder::slots() {
  std::vector<Slot> slots;
  for (size_t i = 0; i < parts_.layers.size(); ++i) {
    const std::string prefix = "model.layers." + std::to_string(i);
    const int layer = static_cast<int>(i);
    parts_.layers[i].attention->collect_slots(prefix + ".self_attn", layer, slots);
    parts_.layers[i].feed_forward->collect_slots(prefix + "." + parts_.layers[i].feed_forward_name, layer, slots);
  }
  slots.push_back({"lm_head", Group::kHead, -1, &parts_.head, nullptr});
  return slots;
}

std::unique_ptr<KvCache> Decoder::make_cache() { return std::make_unique<DecoderCache>(parts_.layers.size()); }

std::unique_ptr<CausalModel> Decoder::share() const {
  DecoderParts copy;
  copy.info = parts_.info;
  copy.norm_epsilon = parts_.norm_epsilon;
  copy.embedding_multiplier = parts_.embedding_multiplier;
  copy.residual_multiplier = parts_.residual_multiplier;
  copy.logits_divisor = parts_.logits_divisor;
  copy.rotary = parts_.rotary;
  copy.embedding_VD = parts_.embedding_VD;
  copy.last_norm_D = parts_.last_norm_D;
  copy.head = parts_.head;
  for (const DecoderLayer& layer : parts_.layers) {
    copy.layers.push_back({layer.attention_norm_D, layer.feed_forward_norm_D, layer.attention->clone(),
                           layer.feed_forward->clone(), layer.feed_forward_name});
  }
  auto shared = std::make_unique<Decoder>(std::move(copy));
  shared->embedding_ = embedding_;
  return shared;
}

void Decoder::weights_changed() {
  for (DecoderLayer& layer : parts_.layers) layer.attention->weights_changed();
}

}  // namespace masbak::models

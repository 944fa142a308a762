// The decoder that all families share: embedding, layers of attention and feed-forward with a norm before
// each, a last norm and a head. A family fills one in.
//
// Shape letters: T tokens, D hidden size, V vocabulary.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/families/causal_model.h"
#include "models/layers/attention.h"
#include "models/layers/feed_forward.h"
#include "models/layers/rotary.h"

namespace masbak::models {

struct DecoderLayer {
  at::Tensor attention_norm_D, feed_forward_norm_D;
  std::unique_ptr<Attention> attention;
  std::unique_ptr<FeedForward> feed_forward;
  std::string feed_forward_name = "mlp";  // in the names of slots
};

struct DecoderParts {
  ModelInfo info;
  double norm_epsilon = 1e-6;
  // Of the embeddings, of what each block adds to the stream, and what logits are divided by (Granite).
  double embedding_multiplier = 1, residual_multiplier = 1, logits_divisor = 1;
  Rotary rotary;
  at::Tensor embedding_VD, last_norm_D;
  std::vector<DecoderLayer> layers;
  std::shared_ptr<Projection> head;  // over the embedding's own tensor if they are tied
};

class Decoder final : public CausalModel {
 public:
  explicit Decoder(DecoderParts parts) : parts_(std::move(parts)), embedding_(make_embedding(parts_.embedding_VD)) {}

  const ModelInfo& info() const override { return parts_.info; }
  at::Tensor hidden(const Batch& batch, std::vector<RouterRecord>* routers) override;
  at::Tensor logits(const at::Tensor& hidden_ND) override;
  std::vector<Slot> slots() override;
  std::shared_ptr<TokenEmbedding>* embedding() override { return &embedding_; }
  std::unique_ptr<KvCache> make_cache() override;
  std::unique_ptr<CausalModel> share() const override;
  at::Tensor embedding_weight() const override { return parts_.embedding_VD; }
  void weights_changed() override;
  void checkpoint_gradients(const std::vector<bool>& layers, const at::Generator& random) override;

 private:
  // A layer's result, and where it has experts the router's scores and choice.
  std::vector<at::Tensor> run_layer(size_t i, const at::Tensor& x_TD, const Context& context, bool routing);
  Context context(const Batch& batch) const;

  DecoderParts parts_;
  std::shared_ptr<TokenEmbedding> embedding_;
  std::vector<bool> checkpointed_;  // none, or one for each layer
  at::Generator random_;
};

}  // namespace masbak::models

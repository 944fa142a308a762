// A model small enough to check by hand: one dense layer, one layer with experts, no attention.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <string>
#include <vector>

#include "models/families/causal_model.h"

namespace masbak::tests {

// Each layer adds its projections of h to h; layer 1 sends each token to the expert (id mod E).
class FakeModel final : public models::CausalModel {
 public:
  static constexpr int64_t kHidden = 6, kInner = 4, kExperts = 3, kVocabulary = 11;

  explicit FakeModel(uint64_t seed = 1) {
    at::manual_seed(seed);
    info_.family = "fake";
    info_.layers = 2;
    info_.hidden = kHidden;
    info_.vocabulary = kVocabulary;
    info_.experts = kExperts;
    embedding_ = at::randn({kVocabulary, kHidden});
    for (auto& q : q_) q = linear(kHidden, kHidden);
    gate_ = linear(kHidden, kExperts);
    shared_ = linear(kHidden, kHidden);
    dense_ = linear(kHidden, kHidden);
    gate_up_ = models::make_expert_projection(at::randn({kExperts, 2 * kInner, kHidden}) * 0.3);
    down_ = models::make_expert_projection(at::randn({kExperts, kHidden, kInner}) * 0.3);
  }

  const models::ModelInfo& info() const override { return info_; }

  at::Tensor hidden(const models::Batch& batch, std::vector<models::RouterRecord>*) override {
    at::Tensor h = embedding_.index_select(0, batch.ids_T);
    h = h + q_[0]->forward(h) + dense_->forward(h);
    h = h + q_[1]->forward(h) + shared_->forward(h) + gate_->forward(h).sum(1, true);
    const at::Tensor expert = batch.ids_T.remainder(kExperts),
                     order = std::get<1>(expert.sort(/*stable=*/std::optional<bool>(true), 0));
    std::vector<int64_t> offsets{0};
    for (int64_t e = 0; e < kExperts; ++e) offsets.push_back(offsets.back() + expert.eq(e).sum().item<int64_t>());
    const at::Tensor inner = gate_up_->forward(h.index_select(0, order), offsets);
    const at::Tensor outer =
        down_->forward(at::silu(inner.narrow(1, 0, kInner)) * inner.narrow(1, kInner, kInner), offsets);
    return h + outer.index_select(0, order.argsort());
  }

  at::Tensor logits(const at::Tensor& hidden_ND) override { return at::mm(hidden_ND, embedding_.t()); }

  std::vector<models::Slot> slots() override {
    using models::Group;
    const std::string zero = "model.layers.0.", one = "model.layers.1.";
    return {{zero + "self_attn.q_proj", Group::kAttention, 0, &q_[0], nullptr},
            {zero + "mlp.gate_proj", Group::kDenseMlp, 0, &dense_, nullptr},
            {one + "self_attn.q_proj", Group::kAttention, 1, &q_[1], nullptr},
            {one + "mlp.gate", Group::kRouter, 1, &gate_, nullptr},
            {one + "mlp.experts.gate_up_proj", Group::kExperts, 1, nullptr, &gate_up_},
            {one + "mlp.experts.down_proj", Group::kExperts, 1, nullptr, &down_},
            {one + "mlp.shared_experts.gate_proj", Group::kSharedExperts, 1, &shared_, nullptr}};
  }
  std::unique_ptr<models::KvCache> make_cache() override { return nullptr; }
  std::unique_ptr<models::CausalModel> share() const override { return std::make_unique<FakeModel>(*this); }
  at::Tensor embedding_weight() const override { return embedding_; }
  void weights_changed() override { ++changes; }

  int changes = 0;

 private:
  static std::shared_ptr<models::Projection> linear(int64_t in, int64_t out) {
    return models::make_projection(at::randn({out, in}) * 0.3);
  }

  models::ModelInfo info_;
  at::Tensor embedding_;
  std::shared_ptr<models::Projection> q_[2], gate_, shared_, dense_;
  std::shared_ptr<models::ExpertProjection> gate_up_, down_;
};

}  // namespace masbak::tests

// The cache, the absorbed form of latent attention, sharing, and gradients of a whole model.
#include <gtest/gtest.h>

#include "tests/models/families/small_model.h"

namespace masbak::models {
namespace {

using testing::difference;
using testing::piecewise_logits;
using testing::small_model;
using testing::whole_logits;

std::vector<int32_t> some_ids(int64_t count, int64_t step = 7) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back(static_cast<int32_t>((3 + i * step) % testing::kVocabulary));
  return ids;
}

TEST(Decoder, CacheInPiecesEqualsTheWhole) {
  auto model = small_model();
  const std::vector<int32_t> ids = some_ids(40);
  const at::Tensor whole = whole_logits(*model, {ids});
  EXPECT_LT(difference(piecewise_logits(*model, ids, std::vector<int64_t>(40, 1)), whole), 2e-5);
  EXPECT_LT(difference(piecewise_logits(*model, ids, {1, 8, 3, 20, 8}), whole), 2e-5);  // absorbed and plain
}

TEST(Decoder, PrefillAndDecodeMixInOneBatch) {
  auto model = small_model(1);
  const at::NoGradGuard no_grad;
  const std::vector<int32_t> first = some_ids(12), second = some_ids(9, 5), third = some_ids(20, 11);
  const at::Tensor logits = testing::PrefillAndDecode(*model, first, second, third).logits;
  EXPECT_LT(difference(logits[0], whole_logits(*model, {first})[11]), 2e-5);
  EXPECT_LT(difference(logits.narrow(0, 1, 9), whole_logits(*model, {second})), 2e-5);
  EXPECT_LT(difference(logits[10], whole_logits(*model, {third})[19]), 2e-5);
}

TEST(Decoder, CacheHoldsLatentsAndRotaryKeysAlone) {
  auto model = small_model();
  const at::NoGradGuard no_grad;
  const auto cache = model->make_cache();
  Batch batch = make_batch({some_ids(32)});
  batch.slices[0].cache = cache.get();
  model->hidden(batch);
  EXPECT_EQ(cache->length(), 32);
  EXPECT_EQ(cache->bytes(), 32 * model->info().kv_cache_numbers_per_token * 4);
  EXPECT_EQ(model->info().kv_cache_numbers_per_token, testing::kLayers * (testing::kLatent + testing::kRope));
}

TEST(Decoder, CacheGrowsGeometricallyAndTruncates) {
  auto model = small_model();
  const at::NoGradGuard no_grad;
  const std::vector<int32_t> ids = some_ids(90);
  const auto cache = model->make_cache();
  std::vector<int64_t> sizes;
  for (int32_t id : ids) {
    Batch batch = make_batch({{id}});
    batch.slices[0].cache = cache.get();
    model->hidden(batch);
    if (sizes.empty() || sizes.back() != cache->bytes()) sizes.push_back(cache->bytes());
  }
  EXPECT_LE(sizes.size(), 4u);
  cache->truncate(10);
  EXPECT_EQ(cache->length(), 10);
  Batch again = make_batch({{ids[10]}});
  again.slices[0].cache = cache.get();
  const std::vector<int32_t> eleven(ids.begin(), ids.begin() + 11);
  EXPECT_LT(difference(model->logits(model->hidden(again))[0], whole_logits(*model, {eleven})[10]), 2e-5);
}

TEST(Decoder, RefusesMoreTokensThanPositions) {
  auto model = small_model();
  EXPECT_THROW(whole_logits(*model, {some_ids(testing::kPositions + 1)}), base::Error);
}

TEST(Decoder, AttentionNeverCrossesSlices) {
  auto model = small_model(2);
  const at::NoGradGuard no_grad;
  const at::Tensor together = model->logits(model->hidden(make_batch({some_ids(11), some_ids(7, 3)})));
  EXPECT_LT(difference(together.narrow(0, 0, 11), whole_logits(*model, {some_ids(11)})), 2e-5);
  EXPECT_LT(difference(together.narrow(0, 11, 7), whole_logits(*model, {some_ids(7, 3)})), 2e-5);
}

TEST(Decoder, SharedModelHasSlotsOfItsOwn) {
  auto model = small_model();
  auto shared = model->share();
  EXPECT_EQ(shared->embedding_weight().data_ptr(), model->embedding_weight().data_ptr());
  const at::Tensor before = whole_logits(*model, {some_ids(9)});
  for (const Slot& slot : shared->slots()) {
    if (slot.name == "model.layers.1.mlp.shared_experts.up_proj" || slot.name == "model.layers.0.self_attn.kv_b_proj") {
      *slot.linear = make_projection((*slot.linear)->weight() * 1.5);
    }
  }
  shared->weights_changed();
  EXPECT_EQ(difference(whole_logits(*model, {some_ids(9)}), before), 0.0);
  const at::Tensor changed = whole_logits(*shared, {some_ids(9)});
  EXPECT_GT(difference(changed, before), 1e-3);
  EXPECT_LT(difference(piecewise_logits(*shared, some_ids(9), std::vector<int64_t>(9, 1)), changed), 2e-5);
}

TEST(Decoder, SlotsAreNamedAsInTransformers) {
  auto model = small_model();
  std::vector<std::string> names;
  for (const Slot& slot : model->slots()) {
    names.push_back(slot.name + " " + group_name(slot.group));
    EXPECT_NE(slot.linear == nullptr, slot.experts == nullptr);
  }
  const std::vector<std::string> wanted = {"model.layers.0.self_attn.q_proj attention",
                                           "model.layers.0.self_attn.kv_a_proj_with_mqa attention",
                                           "model.layers.0.self_attn.kv_b_proj attention",
                                           "model.layers.0.self_attn.o_proj attention",
                                           "model.layers.0.mlp.gate_proj dense_mlp",
                                           "model.layers.0.mlp.up_proj dense_mlp",
                                           "model.layers.0.mlp.down_proj dense_mlp",
                                           "model.layers.1.self_attn.q_proj attention",
                                           "model.layers.1.self_attn.kv_a_proj_with_mqa attention",
                                           "model.layers.1.self_attn.kv_b_proj attention",
                                           "model.layers.1.self_attn.o_proj attention",
                                           "model.layers.1.mlp.gate router",
                                           "model.layers.1.mlp.experts.gate_up_proj experts",
                                           "model.layers.1.mlp.experts.down_proj experts",
                                           "model.layers.1.mlp.shared_experts.gate_proj shared_experts",
                                           "model.layers.1.mlp.shared_experts.up_proj shared_experts",
                                           "model.layers.1.mlp.shared_experts.down_proj shared_experts",
                                           "lm_head head"};
  EXPECT_EQ(names, wanted);
}

// The gradient of a loss with respect to every slot's weight, against central differences along one random
// direction a slot.
TEST(Decoder, GradientsOfEverySlotAgreeWithDifferences) {
  auto model = small_model(3);
  const Batch batch = make_batch({some_ids(9), some_ids(6, 3)});
  const at::Tensor weights = at::randn({15, testing::kVocabulary});
  const auto loss = [&] { return (model->logits(model->hidden(batch)).to(at::kDouble) * weights).sum() * 0.1; };
  for (const Slot& slot : model->slots()) {
    const auto put = [&](const at::Tensor& w) {
      slot.linear ? void(*slot.linear = make_projection(w)) : void(*slot.experts = make_expert_projection(w));
    };
    const at::Tensor original = slot.linear ? (*slot.linear)->weight() : (*slot.experts)->weight();
    at::Tensor leaf = original.clone().requires_grad_(true);
    put(leaf);
    loss().backward();
    const at::Tensor direction = at::randn_like(original) / std::sqrt(static_cast<double>(original.numel()));
    const double along = (leaf.grad() * direction).sum().item<double>();
    const at::NoGradGuard no_grad;
    constexpr double kStep = 4e-3;
    put(original + direction * kStep);
    const double above = loss().item<double>();
    put(original - direction * kStep);
    const double below = loss().item<double>();
    put(original);
    EXPECT_NEAR((above - below) / (2 * kStep), along, 0.02 * std::max(1.0, std::abs(along))) << slot.name;
  }
}

TEST(Decoder, RecordsTheRouters) {
  auto model = small_model();
  std::vector<RouterRecord> routers;
  model->hidden(make_batch({some_ids(8)}), &routers);
  ASSERT_EQ(routers.size(), 1u);
  EXPECT_EQ(routers[0].layer, 1);
  EXPECT_EQ(routers[0].scores_TE.sizes(), at::IntArrayRef({8, testing::kExperts}));
  EXPECT_EQ(routers[0].chosen_TK.sizes(), at::IntArrayRef({8, testing::kPerToken}));
}

}  // namespace
}  // namespace masbak::models

#include "adapters/layers.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/adapter.h"
#include "base/error.h"
#include "tests/adapters/fake_model.h"

namespace masbak::adapters {
namespace {

using tests::FakeModel;

double distance(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

TEST(Lora, AddsTheProductToALinear) {
  const at::Tensor w = at::randn({5, 4}), x = at::randn({3, 4}), a = at::randn({2, 4}), b = at::randn({5, 2});
  const auto wrapped = wrap_linear(models::make_projection(w), {a, b, 0.5});
  EXPECT_LT(distance(wrapped->forward(x), at::mm(x, (w + 0.5 * at::mm(b, a)).t())), 1e-5);
  EXPECT_LT(distance(wrapped->weight(), w + 0.5 * at::mm(b, a)), 1e-6);
}

TEST(Lora, AddsEachExpertsProduct) {
  const at::Tensor w = at::randn({3, 5, 4}), x = at::randn({7, 4}), a = at::randn({3, 2, 4}), b = at::randn({3, 5, 2});
  const auto wrapped = wrap_experts(models::make_expert_projection(w), {a, b, 2.0});
  const at::Tensor merged = w + 2.0 * at::bmm(b, a);
  const std::vector<int64_t> offsets{0, 2, 2, 7};
  const at::Tensor expected =
      at::cat({at::mm(x.narrow(0, 0, 2), merged[0].t()), at::mm(x.narrow(0, 2, 5), merged[2].t())});
  EXPECT_LT(distance(wrapped->forward(x, offsets), expected), 1e-5);
  EXPECT_LT(distance(wrapped->weight(), merged), 1e-6);
}

TEST(Lora, GivesTheGradientsOfTheMergedWeight) {
  const at::Tensor w = at::randn({3, 5, 4}, at::kDouble), x = at::randn({7, 4}, at::kDouble);
  at::Tensor a = at::randn({3, 2, 4}, at::kDouble).requires_grad_(),
             b = at::randn({3, 5, 2}, at::kDouble).requires_grad_();
  const std::vector<int64_t> offsets{0, 2, 2, 7};
  const at::Tensor weights = at::randn({7, 5}, at::kDouble);
  (wrap_experts(models::make_expert_projection(w), {a, b, 0.7})->forward(x, offsets) * weights).sum().backward();
  const at::Tensor da = a.grad().clone(), db = b.grad().clone();
  a.mutable_grad().reset();
  b.mutable_grad().reset();
  const at::Tensor merged = w + 0.7 * at::bmm(b, a);
  const at::Tensor y = at::cat({at::mm(x.narrow(0, 0, 2), merged[0].t()), at::mm(x.narrow(0, 2, 5), merged[2].t())});
  (y * weights).sum().backward();
  EXPECT_LT(distance(da, a.grad()), 1e-12);
  EXPECT_LT(distance(db, b.grad()), 1e-12);
}

TEST(Lora, ComputesInTheTypeOfTheModelAndLearnsInFloat32) {
  at::Tensor a = at::randn({2, 4}).requires_grad_(), b = at::randn({5, 2}).requires_grad_();
  const auto wrapped = wrap_linear(models::make_projection(at::randn({5, 4}).to(at::kBFloat16)), {a, b, 1.0});
  const at::Tensor y = wrapped->forward(at::randn({3, 4}).to(at::kBFloat16));
  EXPECT_EQ(y.scalar_type(), at::kBFloat16);
  y.to(at::kFloat).sum().backward();
  EXPECT_EQ(a.grad().scalar_type(), at::kFloat);
  EXPECT_GT(b.grad().abs().sum().item<double>(), 0.0);
}

TEST(Lora, DropsOnlyInTrainingAndKeepsTheExpectation) {
  auto dropout = std::make_shared<LoraDropout>();
  dropout->probability = 0.25;
  dropout->generator = at::detail::createCPUGenerator(3);
  const auto wrapped =
      wrap_linear(models::make_projection(at::zeros({1, 4000})), {at::ones({1, 4000}), at::ones({1, 1}), 1.0}, dropout);
  const at::Tensor x = at::ones({1, 4000});
  EXPECT_EQ(wrapped->forward(x).item<double>(), 4000.0);
  dropout->training = true;
  const double sum = wrapped->forward(x).item<double>();
  EXPECT_NE(sum, 4000.0);
  EXPECT_NEAR(sum, 4000.0, 200.0);
}

TEST(Dora, BringsEachRowToItsMagnitude) {
  const at::Tensor w = at::randn({5, 4}), bias = at::randn({5}), x = at::randn({3, 4});
  LoraFactors pair{at::randn({2, 4}), at::randn({5, 2}), 0.5};
  pair.magnitude_O = at::rand({5}) + 0.5;
  const auto wrapped = wrap_linear(models::make_projection(w, bias), pair);
  const at::Tensor sum = w + 0.5 * at::mm(pair.b, pair.a);
  const at::Tensor merged = sum * (pair.magnitude_O / at::linalg_vector_norm(sum, 2, 1)).unsqueeze(1);
  EXPECT_LT(distance(wrapped->forward(x), at::mm(x, merged.t()) + bias), 1e-5);
  EXPECT_LT(distance(wrapped->weight(), merged), 1e-6);
  pair.a.mul_(2);  // the norms follow
  EXPECT_LT(distance(wrapped->forward(x), at::mm(x, wrapped->weight().t()) + bias), 1e-5);
}

TEST(Dora, RefusesAWeightWithRowsOfZeros) {
  FakeModel model;
  LoraConfig config;
  config.r = 2;
  config.target_modules = {"attention"};
  config.use_dora = true;
  Adapter adapter = new_adapter(make_plan(config, places(model)), 1);
  (*model.slots()[2].linear)->weight().narrow(0, 3, 2).zero_();
  try {
    initialise(adapter, model);
    FAIL() << "a row without a direction was taken";
  } catch (const base::Error& error) {
    EXPECT_EQ(error.code(), base::Code::kFailedPrecondition);
    EXPECT_THAT(error.what(), ::testing::HasSubstr(
                                  "2 of the 6 of 'model.layers.1.self_attn.q_proj' are zero (the first is number 3)"));
  }
}

TEST(Pissa, StartsAsTheBaseAndIsPlainLoraOfTwiceTheRank) {
  for (const std::string start : {"pissa", "pissa_niter_8"}) {
    FakeModel model, plain, read;
    LoraConfig config;
    config.r = 2;
    config.target_modules = {"attention", "experts"};
    config.init_lora_weights = start;
    Adapter adapter = new_adapter(make_plan(config, places(model)), 1);
    initialise(adapter, model);
    attach(model, adapter);
    const models::Batch batch{at::arange(6), {{0, 6, nullptr}}};
    EXPECT_LT(distance(model.hidden(batch, nullptr), plain.hidden(batch, nullptr)), 1e-5) << start;
    for (const at::Tensor& tensor : adapter.tensors()) tensor.mul_(1.5);
    const Adapter doubled = without_start(adapter);
    EXPECT_EQ(doubled.factors[0].a.size(0), 4);
    attach(read, doubled);
    EXPECT_GT(distance(model.hidden(batch, nullptr), plain.hidden(batch, nullptr)), 1e-2);
    EXPECT_LT(distance(model.hidden(batch, nullptr), read.hidden(batch, nullptr)), 1e-4);
  }
}

TEST(Adapter, LearnsByLoraPlusRates) {
  FakeModel model;
  LoraConfig config;
  config.target_modules = {"attention"};
  config.loraplus_lr_ratio = 16;
  Adapter adapter = new_adapter(make_plan(config, places(model)), 1);
  const std::vector<TrainedTensor> trained = trained_tensors(adapter, 1e-3);
  ASSERT_EQ(trained.size(), 4u);
  EXPECT_EQ(trained[0].learning_rate_factor, 1);
  EXPECT_EQ(trained[1].learning_rate_factor, 16);
}

TEST(Adapter, StartsAsTheBaseModelAndFromTheSeedAlone) {
  FakeModel model, plain;
  LoraConfig config;
  config.r = 2;
  config.target_modules = {"all-linear"};
  const Plan plan = make_plan(config, places(model));
  const Adapter adapter = new_adapter(plan, 7), again = new_adapter(plan, 7), other = new_adapter(plan, 8);
  EXPECT_TRUE(at::equal(adapter.factors[4].a, again.factors[4].a));
  EXPECT_FALSE(at::equal(adapter.factors[4].a, other.factors[4].a));
  // ±1/sqrt(6): the standard deviation of a uniform variable is its bound over sqrt 3.
  EXPECT_LE(adapter.factors[0].a.abs().max().item<double>(), 1 / std::sqrt(6.0));
  attach(model, adapter);
  EXPECT_EQ(model.changes, 1);
  const models::Batch batch{at::arange(6), {{0, 6, nullptr}}};
  EXPECT_EQ(distance(model.hidden(batch, nullptr), plain.hidden(batch, nullptr)), 0.0);
  for (const at::Tensor& tensor : adapter.tensors()) tensor.fill_(0.1);
  EXPECT_GT(distance(model.hidden(batch, nullptr), plain.hidden(batch, nullptr)), 1e-3);
}

}  // namespace
}  // namespace masbak::adapters

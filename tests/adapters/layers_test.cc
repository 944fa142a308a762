#include "adapters/layers.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "adapters/adapter.h"
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

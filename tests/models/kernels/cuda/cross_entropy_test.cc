// The body of the CUDA cross entropy, run on the CPU, against ATen in double precision.
#include "models/kernels/cuda/cross_entropy.h"

#include <cmath>

#include "tests/models/kernels/cuda/tensors.h"

namespace masbak::models::cuda {
namespace {

struct Result {
  at::Tensor logits, losses;
  double sum;
};

Result run(const at::Tensor& logits, const at::Tensor& targets, Type type, float scale, bool gradient,
           Order order = Order::kForwards, int64_t ignore_index = -100) {
  Result result{at::empty_strided(logits.sizes(), logits.strides(), logits.options()),
                unwritten({logits.size(0)}, at::kFloat), std::nan("")};
  result.logits.copy_(logits);
  CrossEntropy a;
  a.type = type;
  a.logits = result.logits.mutable_data_ptr();
  a.stride = logits.stride(0);
  a.rows = logits.size(0);
  a.size = logits.size(1);
  a.targets = targets.const_data_ptr<int64_t>();
  a.ignore_index = ignore_index;
  a.scale = scale;
  a.gradient = gradient;
  a.losses = result.losses.mutable_data_ptr<float>();
  a.sum = &result.sum;
  EXPECT_EQ(host_kernels(order).cross_entropy(a, nullptr), nullptr);
  return result;
}

TEST(CudaCrossEntropy, LossAndGradientAgreeWithAten) {
  at::manual_seed(20);
  for (const Precision& p : kPrecisions) {
    for (const int64_t size : {1, 2, 7, 256, 1000, 2049, 4104}) {
      for (const int64_t rows : {1, 5}) {
        for (const int64_t gap : {0, 1, 8}) {
          SCOPED_TRACE(testing::Message() << rows << " x " << size << ", gap " << gap);
          const at::Tensor logits = rows_with_gaps(at::randn({rows, size}) * 4, p.dtype, gap);
          at::Tensor targets = at::randint(size, {rows}, at::kLong);
          if (rows > 2) targets[2] = -100;
          at::Tensor high = logits.to(at::kDouble).contiguous().detach().requires_grad_(true);
          const at::Tensor losses = at::cross_entropy_loss(high, targets, {}, at::Reduction::None, -100);
          losses.sum().backward();
          const Result found = run(logits, targets, p.type, 0.5F, true);
          EXPECT_LT(difference(found.losses, losses), 2e-5);
          EXPECT_NEAR(found.sum, losses.sum().item<double>(), 1e-4);
          EXPECT_LT(difference(found.logits, high.grad() * 0.5), p.tolerance * 0.5);
          const Result loss_alone = run(logits, targets, p.type, 0.5F, false);
          EXPECT_TRUE(at::equal(loss_alone.logits, logits));
          EXPECT_TRUE(same_bits(loss_alone.losses, found.losses));
          const Result again = run(logits, targets, p.type, 0.5F, true, Order::kBackwards);
          EXPECT_TRUE(same_bits(again.losses, found.losses) && again.sum == found.sum);
          EXPECT_TRUE(same_bits(again.logits.contiguous(), found.logits.contiguous()));
        }
      }
    }
  }
}

TEST(CudaCrossEntropy, TheGradientIsADifferenceQuotient) {
  at::manual_seed(21);
  const at::Tensor logits = at::randn({3, 9}), targets = at::tensor(std::vector<int64_t>{0, 8, 4});
  const Result found = run(logits, targets, Type::kFloat32, 1, true);
  for (int64_t i = 0; i < logits.numel(); ++i) {
    constexpr float kStep = 1.0F / 64;
    float& number = logits.mutable_data_ptr<float>()[i];
    const float before = number;
    number = before + kStep;
    const double above = run(logits, targets, Type::kFloat32, 1, false).sum;
    number = before - kStep;
    const double below = run(logits, targets, Type::kFloat32, 1, false).sum;
    number = before;
    EXPECT_NEAR(found.logits.flatten()[i].item<double>(), (above - below) / (2 * kStep), 1e-3) << i;
  }
}

TEST(CudaCrossEntropy, IgnoredRowsAreLeftOut) {
  const at::Tensor logits = at::randn({4, 33}), targets = at::full({4}, -100, at::kLong);
  const Result found = run(logits, targets, Type::kFloat32, 1, true);
  EXPECT_EQ(found.sum, 0);
  EXPECT_EQ(found.logits.abs().max().item<float>(), 0);
  const Result own = run(logits, at::full({4}, 32, at::kLong), Type::kFloat32, 1, true, Order::kForwards, 32);
  EXPECT_EQ(own.sum, 0);
}

TEST(CudaCrossEntropy, ATargetOutsideIsNoNumber) {
  const at::Tensor logits = at::randn({3, 10});
  const Result found = run(logits, at::tensor(std::vector<int64_t>{10, 3, -1}), Type::kFloat32, 1, true);
  EXPECT_TRUE(std::isnan(found.sum));
  EXPECT_TRUE(found.logits[0].isnan().all().item<bool>());
  EXPECT_FALSE(found.logits[1].isnan().any().item<bool>());
  EXPECT_TRUE(found.losses[2].isnan().item<bool>());
}

TEST(CudaCrossEntropy, LargeLogitsClosedClassesAndNoNumbers) {
  const float closed = -std::numeric_limits<float>::infinity();
  at::Tensor logits = at::randn({3, 700}) * 1e4;
  logits.narrow(1, 100, 500).fill_(closed);
  logits[2][3] = std::numeric_limits<float>::quiet_NaN();
  const at::Tensor targets = at::tensor(std::vector<int64_t>{0, 650, 1});
  const at::Tensor wanted = at::cross_entropy_loss(logits.to(at::kDouble), targets, {}, at::Reduction::None, -100);
  const Result found = run(logits, targets, Type::kFloat32, 1, true);
  EXPECT_LT(difference(found.losses.narrow(0, 0, 2), wanted.narrow(0, 0, 2)), 0.01);
  EXPECT_EQ(found.logits.narrow(0, 0, 2).narrow(1, 100, 500).abs().max().item<float>(), 0);
  EXPECT_TRUE(found.losses[2].isnan().item<bool>());
  // A target that is closed cannot be: the loss is infinite, as ATen's.
  EXPECT_TRUE(std::isinf(run(logits.narrow(0, 0, 1), at::full({1}, 200, at::kLong), Type::kFloat32, 1, false).sum));
}

TEST(CudaCrossEntropy, NoRowsAddUpToNothing) {
  EXPECT_EQ(run(at::empty({0, 5}), at::empty({0}, at::kLong), Type::kFloat32, 1, true).sum, 0);
}

TEST(CudaCrossEntropy, BadSizesAreRefused) {
  CrossEntropy a;
  a.rows = 2;
  a.size = 10;
  a.stride = 9;
  EXPECT_NE(host_kernels().cross_entropy(a, nullptr), nullptr);
}

}  // namespace
}  // namespace masbak::models::cuda

// Every fused piece against ATen's operators in double precision, values and gradients, over odd sizes and views.
#include "models/layers/fused.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <functional>

namespace masbak::models {
namespace {

using Function = std::function<at::Tensor(const std::vector<at::Tensor>&)>;

// The largest, relative to numbers above 1: what bfloat16 rounds grows with them.
double difference(const at::Tensor& a, const at::Tensor& b) {
  if (a.numel() == 0) return 0;
  const at::Tensor exact = b.to(at::kDouble);
  return ((a.to(at::kDouble) - exact).abs() / exact.abs().clamp_min(1)).max().item<double>();
}

// Values and input gradients of `fused` in `type` against `plain` in double.
void compare(const Function& fused, const Function& plain, const std::vector<at::Tensor>& inputs, at::ScalarType type,
             double tolerance) {
  std::vector<at::Tensor> low, high;
  for (const at::Tensor& input : inputs) {
    const at::Tensor leaf = input.to(type);
    low.push_back(leaf.detach().clone().requires_grad_(true));
    high.push_back(leaf.to(at::kDouble).detach().clone().requires_grad_(true));
  }
  const at::Tensor found = fused(low), wanted = plain(high);
  EXPECT_LT(difference(found, wanted), tolerance);
  if (found.numel() == 0) return;
  const at::Tensor direction = at::randn(wanted.sizes()).to(type);
  found.backward(direction);
  wanted.backward(direction.to(at::kDouble));
  for (size_t i = 0; i < low.size(); ++i)
    EXPECT_LT(difference(low[i].grad(), high[i].grad()), tolerance) << "input " << i;
}

struct Precision {
  at::ScalarType type;
  double tolerance;
};
const Precision kPrecisions[] = {{at::kDouble, 1e-10}, {at::kFloat, 2e-5}, {at::kBFloat16, 0.05}};

TEST(Fused, RmsNorm) {
  for (const Precision& p : kPrecisions) {
    for (int64_t size : {1, 7, 16, 33, 576}) {
      const at::Tensor weight = (at::rand({size}) + 0.5).to(p.type);
      const Function plain = [&](const std::vector<at::Tensor>& in) {
        const at::Tensor x = in[0].narrow(1, 2, size);
        return x * (x.square().mean(-1, true) + 1e-5).rsqrt() * weight.to(at::kDouble);
      };
      const Function fused = [&](const std::vector<at::Tensor>& in) {
        return rms_norm(in[0].narrow(1, 2, size), weight, 1e-5);  // rows with a stride
      };
      compare(fused, plain, {at::randn({5, size + 3})}, p.type, p.tolerance);
    }
  }
}

TEST(Fused, SiluTimes) {
  for (const Precision& p : kPrecisions) {
    for (int64_t size : {1, 15, 64, 100}) {
      const at::Tensor both = at::randn({6, 2 * size}) * 3;
      const Function plain = [](const std::vector<at::Tensor>& in) {
        const auto halves = in[0].chunk(2, -1);
        return at::silu(halves[0]) * halves[1];
      };
      compare([](const std::vector<at::Tensor>& in) { return silu_times_halves(in[0]); }, plain, {both}, p.type,
              p.tolerance * 2);
      compare([](const std::vector<at::Tensor>& in) { return silu_times(in[0], in[1]); },
              [](const std::vector<at::Tensor>& in) { return at::silu(in[0]) * in[1]; },
              {at::randn({6, size}), at::randn({6, size})}, p.type, p.tolerance * 2);
    }
  }
}

TEST(Fused, SiluAtTheEnds) {
  const at::Tensor x = at::tensor({-1e4f, -100.0f, -88.0f, 0.0f, 88.0f, 100.0f, 1e4f}).unsqueeze(0);
  EXPECT_LT(difference(silu_times(x, at::ones_like(x)), at::silu(x)), 1e-6);
}

TEST(Fused, Rotate) {
  for (const Precision& p : kPrecisions) {
    for (bool interleaved : {false, true}) {
      for (int64_t plain_size : {0, 5}) {
        const int64_t frequencies = 9;
        const at::Tensor angles = at::randn({4, frequencies});
        const at::Tensor c = angles.cos(), s = angles.sin();
        const Function plain = [&](const std::vector<at::Tensor>& in) {
          const at::Tensor x = in[0].narrow(2, plain_size, 2 * frequencies);
          const at::Tensor pairs =
              interleaved ? x.unflatten(2, {frequencies, 2}) : x.unflatten(2, {2, frequencies}).transpose(2, 3);
          const at::Tensor a = pairs.select(3, 0), b = pairs.select(3, 1);
          const at::Tensor cd = c.to(at::kDouble).unsqueeze(1), sd = s.to(at::kDouble).unsqueeze(1);
          return at::cat({in[0].narrow(2, 0, plain_size), a * cd - b * sd, b * cd + a * sd}, 2);
        };
        compare([&](const std::vector<at::Tensor>& in) { return rotate(in[0], c, s, interleaved); }, plain,
                {at::randn({4, 3, plain_size + 2 * frequencies})}, p.type, p.tolerance);
      }
    }
  }
}

TEST(Fused, SumsOfRows) {
  const int64_t tokens = 13, per_token = 3;
  const at::Tensor rows = at::randint(0, 20, {tokens, per_token}, at::kInt);
  for (const Precision& p : kPrecisions) {
    for (int64_t size : {1, 63, 64, 130}) {
      const at::Tensor x = at::randn({20, size}).to(p.type);
      const at::Tensor weights = at::rand({tokens, per_token}, p.type == at::kDouble ? at::kDouble : at::kFloat);
      const at::Tensor pairs = x.to(at::kDouble).index_select(0, rows.flatten()).view({tokens, per_token, size});
      EXPECT_LT(difference(sum_rows(x, {}, rows), pairs.sum(1)), p.tolerance * 3);
      EXPECT_LT(difference(sum_rows(x, weights, rows), (pairs * weights.to(at::kDouble).unsqueeze(2)).sum(1)),
                p.tolerance * 3);
    }
  }
}

TEST(Fused, CrossEntropyRows) {
  for (const Precision& p : kPrecisions) {
    for (int64_t size : {1, 15, 64, 1003}) {
      at::Tensor logits = (at::randn({9, size}) * 5).to(p.type);
      const at::Tensor targets = at::randint(0, size, {9}, at::kLong);
      const at::Tensor exact = logits.to(at::kDouble).requires_grad_(true);
      const at::Tensor wanted = at::cross_entropy_loss(exact, targets, {}, at::Reduction::Sum);
      (wanted * 0.25).backward();
      const at::Tensor before = logits.clone();
      EXPECT_NEAR(cross_entropy_rows(logits, targets, 0, false), wanted.item<double>(), p.tolerance * 9);
      EXPECT_TRUE(logits.equal(before));  // without the gradient nothing is written
      EXPECT_NEAR(cross_entropy_rows(logits, targets, 0.25, true), wanted.item<double>(), p.tolerance * 9);
      EXPECT_LT(difference(logits, exact.grad()), p.tolerance * 0.1);
    }
  }
}

// One logit far above or below the rest, and rows so low that their exponentials vanish.
TEST(Fused, CrossEntropyAtTheEnds) {
  at::Tensor logits = at::tensor({300.0f, 0.0f, -300.0f, -1e4f, -1e4f, -1e4f}).view({2, 3});
  const at::Tensor targets = at::tensor({2, 1}, at::kLong);
  EXPECT_NEAR(cross_entropy_rows(logits, targets, 1, true), 600 + std::log(3.0), 1e-3);
  const at::Tensor wanted = at::tensor({1.0f, 0.0f, -1.0f, 1 / 3.0f, -2 / 3.0f, 1 / 3.0f}).view({2, 3});
  EXPECT_LT(difference(logits, wanted), 1e-6);
}

TEST(Fused, DoesNotDependOnThreads) {
  const at::Tensor x = at::randn({300, 257}), weight = at::ones({257});
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor one = rms_norm(x, weight, 1e-6);
  at::set_num_threads(3);
  const at::Tensor three = rms_norm(x, weight, 1e-6);
  at::set_num_threads(threads);
  EXPECT_EQ(difference(one, three), 0.0);
}

}  // namespace
}  // namespace masbak::models

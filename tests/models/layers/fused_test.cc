// Every fused piece against ATen's operators in double precision, values and gradients, over odd sizes and views;
// the versions for the instruction sets against each other.
#include "models/layers/fused.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <functional>

#include "models/kernels/cpu/rows.h"
#include "models/layers/grouped_linear.h"
#include "models/layers/mixture_of_experts.h"

namespace masbak::models {
namespace {

using Function = std::function<at::Tensor(const std::vector<at::Tensor>&)>;

double difference(const at::Tensor& a, const at::Tensor& b) {
  if (a.numel() == 0) return 0;
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
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
const Precision kPrecisions[] = {{at::kDouble, 1e-10}, {at::kFloat, 2e-5}, {at::kBFloat16, 0.1}};

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

TEST(Fused, DispatchAndCombine) {
  const int64_t tokens = 13, per_token = 3, experts = 7;
  for (const Precision& p : kPrecisions) {
    for (int64_t size : {1, 63, 64, 130}) {
      const at::Tensor chosen = at::argsort(at::rand({tokens, experts}), int64_t{1}, false).narrow(1, 0, per_token);
      const ExpertOrder order = sort_by_expert(chosen, experts);
      const at::Tensor rows = order.row_of_pair_TK.flatten().to(at::kLong);
      compare(
          [&](const std::vector<at::Tensor>& in) {
            return dispatch_rows(in[0], order.token_of_row_N, order.row_of_pair_TK);
          },
          [&](const std::vector<at::Tensor>& in) { return in[0].index_select(0, order.token_of_row_N.to(at::kLong)); },
          {at::randn({tokens, size})}, p.type, p.tolerance * 3);
      const at::ScalarType weight_type = p.type == at::kDouble ? at::kDouble : at::kFloat;
      compare(
          [&](const std::vector<at::Tensor>& in) {
            return combine_rows(in[0], in[1].to(weight_type), order.row_of_pair_TK);
          },
          [&](const std::vector<at::Tensor>& in) {
            const at::Tensor pairs = in[0].index_select(0, rows).view({tokens, per_token, size});
            return (pairs * in[1].unsqueeze(2)).sum(1);
          },
          {at::randn({tokens * per_token, size}), at::rand({tokens, per_token})}, p.type, p.tolerance * 3);
    }
  }
}

TEST(Fused, ExpertOrderIsStableAndWhole) {
  const at::Tensor chosen = at::tensor({2, 0, 2, 5, 0, 2}, at::kLong).view({3, 2});
  const ExpertOrder order = sort_by_expert(chosen, 6);
  EXPECT_EQ(order.offsets, (std::vector<int64_t>{0, 2, 2, 5, 5, 5, 6}));
  const int32_t tokens[] = {0, 2, 0, 1, 2, 1}, rows[] = {2, 0, 3, 5, 1, 4};
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(order.token_of_row_N[i].item<int32_t>(), tokens[i]);
    EXPECT_EQ(order.row_of_pair_TK.flatten()[i].item<int32_t>(), rows[i]);
  }
}

// With many tokens an expert's rows are filled up; what fills them counts for nothing.
TEST(Fused, ExpertRowsFilledUp) {
  const int64_t tokens = 301, experts = 2;
  const at::Tensor chosen = at::randint(0, experts, {tokens, 1}, at::kLong);
  const ExpertOrder order = sort_by_expert(chosen, experts);
  EXPECT_GT(order.offsets.back(), tokens);
  for (int64_t offset : order.offsets) EXPECT_EQ(offset % 16, 0);
  const at::Tensor w = at::randn({experts, 6, 10}), weights = at::rand({tokens, 1});
  const Function fused = [&](const std::vector<at::Tensor>& in) {
    const at::Tensor rows = dispatch_rows(in[0], order.token_of_row_N, order.row_of_pair_TK);
    return combine_rows(grouped_linear(rows, in[1], order.offsets), weights, order.row_of_pair_TK);
  };
  const Function plain = [&](const std::vector<at::Tensor>& in) {
    const at::Tensor own = in[1].index_select(0, chosen.flatten());  // each token's weight
    return at::bmm(own, in[0].unsqueeze(2)).squeeze(2) * weights.to(at::kDouble);
  };
  compare(fused, plain, {at::randn({tokens, 10}), w}, at::kFloat, 1e-4);
}

// More groups than are multiplied one by one: each thread takes its own. Some are empty.
std::vector<int64_t> many_groups() {
  std::vector<int64_t> offsets = {0};
  for (int64_t e = 0; e < 70; ++e) offsets.push_back(offsets.back() + e * 5 % 7);
  return offsets;
}

TEST(Fused, GroupedLinear) {
  for (const Precision& p : kPrecisions) {
    for (const std::vector<int64_t>& offsets :
         {std::vector<int64_t>{0, 3, 3, 10, 11}, {0, 0, 0, 0, 5}, {0, 0, 0, 0, 0}, many_groups()}) {
      const Function plain = [&](const std::vector<at::Tensor>& in) {
        std::vector<at::Tensor> parts;
        for (size_t e = 0; e + 1 < offsets.size(); ++e) {
          parts.push_back(at::mm(in[0].narrow(0, offsets[e], offsets[e + 1] - offsets[e]), in[1][e].t()));
        }
        return at::cat(parts);
      };
      compare([&](const std::vector<at::Tensor>& in) { return grouped_linear(in[0], in[1], offsets); }, plain,
              {at::randn({offsets.back(), 12}), at::randn({static_cast<int64_t>(offsets.size()) - 1, 8, 12}) * 0.3},
              p.type, p.tolerance * 2);
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
  const at::Tensor rows = at::randn({many_groups().back(), 33}), w = at::randn({70, 16, 33});
  const at::Tensor one_product = grouped_linear(rows, w, many_groups());
  at::set_num_threads(3);
  const at::Tensor three = rms_norm(x, weight, 1e-6);
  const at::Tensor three_products = grouped_linear(rows, w, many_groups());
  at::set_num_threads(threads);
  EXPECT_EQ(difference(one, three), 0.0);
  EXPECT_LT(difference(one_product, three_products), 1e-5);
}

// The same rows through each instruction set that this processor has.
template <typename T>
void compare_isas(double tolerance) {
  using A = typename kernels::Accumulate<T>::type;
  constexpr int64_t kSize = 83;
  std::vector<T> x(kSize), w(kSize), y(kSize);
  for (int64_t i = 0; i < kSize; ++i) {
    x[i] = T(std::sin(0.37 * i) * 3);
    w[i] = T(1 + 0.01 * i);
  }
  std::vector<std::vector<double>> results;
  for (kernels::Isa isa : {kernels::Isa::kPortable, kernels::Isa::kAvx2, kernels::Isa::kAvx512}) {
    if (!kernels::supported(isa)) continue;
    const kernels::RowKernels<T>& table = kernels::row_kernels<T>(isa);
    std::vector<double>& result = results.emplace_back();
    const auto keep = [&] {
      for (T value : y) result.push_back(static_cast<double>(value));
    };
    A scale;
    table.rms_norm(1, kSize, x.data(), kSize, w.data(), A(1e-6), y.data(), &scale), keep();
    table.rms_norm_backward(1, kSize, w.data(), x.data(), kSize, w.data(), &scale, y.data()), keep();
    table.silu_times(1, kSize, x.data(), kSize, w.data(), kSize, y.data()), keep();
    const int32_t rows[] = {0, 0};
    const A weights[] = {A(0.25), A(0.5)};
    table.weighted_sum(2, kSize, x.data(), rows, weights, y.data()), keep();
    result.push_back(table.scale_and_dot(kSize, x.data(), A(0.5), w.data(), y.data())), keep();
    y = x;
    result.push_back(table.softmax(kSize - 20, kSize, A(0.5), y.data())), keep();
    y = x;
    result.push_back(table.cross_entropy(kSize, 5, A(0.5), true, y.data())), keep();
  }
  for (const auto& result : results) {
    for (size_t i = 0; i < result.size(); ++i)
      ASSERT_NEAR(result[i], results[0][i], tolerance * (1 + std::abs(results[0][i])));
  }
}

TEST(Kernels, InstructionSetsAgree) {
  compare_isas<float>(1e-5);
  compare_isas<double>(1e-13);
  compare_isas<c10::BFloat16>(0.01);
}

}  // namespace
}  // namespace masbak::models

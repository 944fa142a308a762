// Every row kernel in every version that this processor has (portable, AVX2, AVX-512), against ATen in double precision
// and against one another, over sizes around the vectors' widths.
#include "models/kernels/cpu/rows.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>
#include <numeric>

namespace masbak::models::kernels {
namespace {

const int64_t kSizes[] = {1, 2, 7, 15, 16, 17, 31, 33, 64, 65, 100, 257};

template <typename T>
at::ScalarType type_of() {
  return c10::CppTypeToScalarType<T>::value;
}

// Of results of size 1: rounding of the type, and a few sums' worth of it.
template <typename T>
double tolerance();
template <>
double tolerance<double>() {
  return 1e-12;
}
template <>
double tolerance<float>() {
  return 2e-5;
}
template <>
double tolerance<c10::BFloat16>() {
  return 2e-2;
}

at::Tensor exact(const at::Tensor& x) { return x.detach().to(at::kDouble).requires_grad_(); }

template <typename T>
class Rows : public ::testing::Test {
 protected:
  using A = typename Accumulate<T>::type;

  void SetUp() override { at::manual_seed(11); }

  static at::Tensor random(std::vector<int64_t> sizes, double scale = 1) {
    return (at::randn(sizes, at::kDouble) * scale).to(type_of<T>());
  }
  static at::Tensor like(const at::Tensor& x) { return at::full_like(x, 77); }
  static T* data(const at::Tensor& x) { return x.mutable_data_ptr<T>(); }

  // Each result of every version is near `wanted`, and the versions are near each other: closer than to the reference,
  // since they do the same arithmetic in the same order.
  static void check(const std::function<std::vector<at::Tensor>(const RowKernels<T>&)>& run,
                    const std::vector<at::Tensor>& wanted, const std::string& what) {
    std::vector<at::Tensor> first;
    for (const Isa isa : {Isa::kPortable, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16}) {
      if (!supported(isa)) continue;
      const std::vector<at::Tensor> found = run(row_kernels<T>(isa));
      for (size_t i = 0; i < wanted.size(); ++i) {
        const at::Tensor target = wanted[i].detach(), result = found[i].to(at::kDouble);
        const double size = 1 + target.abs().max().item<double>();
        const double far = (result - target).abs().max().item<double>();
        EXPECT_LT(far, tolerance<T>() * size) << what << ", result " << i << ", version " << static_cast<int>(isa);
        if (first.empty()) continue;
        const double apart = (result - first[i]).abs().max().item<double>();
        EXPECT_LT(apart, 0.5 * tolerance<T>() * size) << what << ", result " << i << " of versions";
      }
      if (!first.empty()) continue;
      for (const at::Tensor& result : found) first.push_back(result.to(at::kDouble));
    }
  }
};
using Types = ::testing::Types<float, double, c10::BFloat16>;
TYPED_TEST_SUITE(Rows, Types);

TYPED_TEST(Rows, RmsNorm) {
  using T = TypeParam;
  using A = typename Accumulate<T>::type;
  for (const int64_t size : kSizes) {
    const at::Tensor x = TestFixture::random({3, size + 2}), weight = TestFixture::random({size}).abs() + 0.5;
    const at::Tensor dy = TestFixture::random({3, size}), in = exact(x.narrow(1, 0, size));
    const at::Tensor scale = (in.square().mean(-1, true) + 1e-5).rsqrt(), y = in * scale * weight.to(at::kDouble);
    y.backward(dy.to(at::kDouble));
    this->check(
        [&](const RowKernels<T>& table) {
          at::Tensor out = this->like(dy), dx = this->like(dy);
          at::Tensor scales = at::empty({3}, type_of<A>());
          table.rms_norm(3, size, this->data(x), size + 2, this->data(weight), A(1e-5), this->data(out),
                         scales.template mutable_data_ptr<A>());
          table.rms_norm_backward(3, size, this->data(dy), this->data(x), size + 2, this->data(weight),
                                  scales.template mutable_data_ptr<A>(), this->data(dx));
          return std::vector<at::Tensor>{out, scales, dx};
        },
        {y, scale.squeeze(1), in.grad()}, "rms_norm of " + std::to_string(size));
  }
}

TYPED_TEST(Rows, SiluTimes) {
  using T = TypeParam;
  using A = typename Accumulate<T>::type;
  for (const int64_t size : kSizes) {
    const at::Tensor both = TestFixture::random({2, 2 * size}, 3), dy = TestFixture::random({2, size});
    const at::Tensor in = exact(both);
    const at::Tensor y = at::silu(in.narrow(1, 0, size)) * in.narrow(1, size, size);
    y.backward(dy.to(at::kDouble));
    const at::Tensor dot = (y.detach() * dy.to(at::kDouble)).sum(1);
    this->check(
        [&](const RowKernels<T>& table) {
          at::Tensor out = this->like(dy), back = this->like(both), again = this->like(dy), weighted = this->like(both);
          at::Tensor dots = at::empty({2}, type_of<A>());
          const T *gate = this->data(both), *d = this->data(dy);
          table.silu_times(2, size, gate, 2 * size, gate + size, 2 * size, this->data(out));
          table.silu_times_backward(2, size, d, gate, 2 * size, gate + size, 2 * size, this->data(back), 2 * size,
                                    this->data(back) + size, 2 * size);
          for (int64_t n = 0; n < 2; ++n) {
            T* to = this->data(weighted) + 2 * n * size;
            dots.template mutable_data_ptr<A>()[n] = table.silu_times_weighted_backward(
                size, A(0.5), d + n * size, gate + 2 * n * size, gate + (2 * n + 1) * size,
                this->data(again) + n * size, to, to + size);
          }
          return std::vector<at::Tensor>{out, back, again, weighted, dots};
        },
        {y, in.grad(), y, in.grad() * 0.5, dot}, "silu_times of " + std::to_string(size));
  }
}

TYPED_TEST(Rows, Rotate) {
  using T = TypeParam;
  for (const int64_t frequencies : kSizes) {
    for (const bool interleaved : {false, true}) {
      for (const int64_t plain : {0, 5}) {
        const at::Tensor x = TestFixture::random({plain + 2 * frequencies}), angle = at::randn({frequencies});
        const at::Tensor c = angle.cos(), s = angle.sin(), in = exact(x);
        const at::Tensor rotary = in.narrow(0, plain, 2 * frequencies);
        const at::Tensor pairs = interleaved ? rotary.view({frequencies, 2}) : rotary.view({2, frequencies}).t();
        const at::Tensor a = pairs.select(1, 0), b = pairs.select(1, 1);
        const at::Tensor cd = c.to(at::kDouble), sd = s.to(at::kDouble);
        const at::Tensor y = at::cat({in.narrow(0, 0, plain), a * cd - b * sd, b * cd + a * sd});
        // float32 angles: cos^2 + sin^2 is not quite 1.
        const at::Tensor longer = pairs * (cd * cd + sd * sd).unsqueeze(1);
        const at::Tensor again =
            at::cat({in.narrow(0, 0, plain), (interleaved ? longer : longer.t()).reshape({2 * frequencies})});
        this->check(
            [&](const RowKernels<T>& table) {
              at::Tensor out = this->like(x), back = this->like(x);
              const float *cosine = c.template const_data_ptr<float>(), *sine = s.template const_data_ptr<float>();
              table.rotate(plain, frequencies, this->data(x), cosine, sine, false, interleaved, false, this->data(out));
              table.rotate(plain, frequencies, this->data(out), cosine, sine, true, false, interleaved,
                           this->data(back));
              return std::vector<at::Tensor>{out, back};  // there and back again
            },
            {y, again}, "rotate of " + std::to_string(frequencies));
      }
    }
  }
}

TYPED_TEST(Rows, WeightedSum) {
  using T = TypeParam;
  using A = typename Accumulate<T>::type;
  for (const int64_t size : kSizes) {
    const at::Tensor x = TestFixture::random({6, size}), weights = at::rand({3}, type_of<A>());
    const std::vector<int32_t> rows{4, 0, 4};
    const at::Tensor chosen = x.to(at::kDouble).index_select(0, at::tensor({4, 0, 4}, at::kLong));
    this->check(
        [&](const RowKernels<T>& table) {
          at::Tensor weighted = at::empty({size}, x.options()), plain = at::empty({size}, x.options());
          table.weighted_sum(3, size, this->data(x), rows.data(), weights.template const_data_ptr<A>(),
                             this->data(weighted));
          table.weighted_sum(3, size, this->data(x), rows.data(), nullptr, this->data(plain));
          return std::vector<at::Tensor>{weighted, plain};
        },
        {(chosen * weights.to(at::kDouble).unsqueeze(1)).sum(0), chosen.sum(0)},
        "weighted_sum of " + std::to_string(size));
  }
}

TYPED_TEST(Rows, Softmax) {
  using T = TypeParam;
  using A = typename Accumulate<T>::type;
  for (const int64_t size : kSizes) {
    const int64_t hidden = size / 3, seen = size - hidden;
    const at::Tensor scores = (at::randn({size}) * 4).to(type_of<A>()), dweights = at::randn({size}).to(type_of<A>());
    const at::Tensor in = exact(scores.narrow(0, 0, seen)), weights = at::softmax(in * 0.3, 0);
    weights.backward(dweights.narrow(0, 0, seen).to(at::kDouble));
    const at::Tensor zeros = at::zeros({hidden}, at::kDouble);
    const double delta = (weights.detach() * dweights.narrow(0, 0, seen).to(at::kDouble)).sum().template item<double>();
    const at::Tensor log_sum = (in * 0.3).logsumexp(0).view({1});
    this->check(
        [&](const RowKernels<T>& table) {
          at::Tensor work = scores.clone(), shape = at::zeros({size}, type_of<T>());
          at::Tensor forward = this->like(shape), again = this->like(shape), dscores = this->like(shape);
          at::Tensor kept_dscores = this->like(shape);
          const A sum = table.softmax(seen, size, A(0.3), work.template mutable_data_ptr<A>(), this->data(forward));
          table.softmax_backward(seen, size, A(0.3), sum, A(delta), scores.template const_data_ptr<A>(),
                                 dweights.template const_data_ptr<A>(), this->data(again), this->data(dscores));
          table.kept_softmax_backward(seen, size, A(0.3), A(delta), this->data(forward),
                                      dweights.template const_data_ptr<A>(), this->data(kept_dscores));
          return std::vector<at::Tensor>{forward, at::full({1}, double(sum), at::kDouble), again, dscores,
                                         kept_dscores};
        },
        {at::cat({weights.detach(), zeros}), log_sum, at::cat({weights.detach(), zeros}), at::cat({in.grad(), zeros}),
         at::cat({in.grad(), zeros})},
        "softmax of " + std::to_string(size));
  }
}

TYPED_TEST(Rows, DotAndRound) {
  using T = TypeParam;
  using A = typename Accumulate<T>::type;
  for (const int64_t size : kSizes) {
    const at::Tensor x = TestFixture::random({size}), y = TestFixture::random({size});
    const at::Tensor wide = at::randn({size}).to(type_of<A>());
    this->check(
        [&](const RowKernels<T>& table) {
          at::Tensor narrow = this->like(x);
          table.round(size, wide.template const_data_ptr<A>(), this->data(narrow));
          EXPECT_TRUE(narrow.equal(wide.to(type_of<T>())));
          return std::vector<at::Tensor>{
              at::full({1}, double(table.dot(size, this->data(x), this->data(y))), at::kDouble)};
        },
        {at::dot(x.to(at::kDouble), y.to(at::kDouble)).view({1})}, "dot of " + std::to_string(size));
  }
}

TYPED_TEST(Rows, CrossEntropy) {
  using T = TypeParam;
  using A = typename Accumulate<T>::type;
  for (const int64_t size : kSizes) {
    const at::Tensor logits = TestFixture::random({size}, 4), in = exact(logits);
    const int64_t target = size / 2;
    const at::Tensor loss = in.logsumexp(0) - in[target];
    (loss * 0.25).backward();
    this->check(
        [&](const RowKernels<T>& table) {
          at::Tensor gradient = logits.clone(), untouched = logits.clone();
          const A with = table.cross_entropy(size, target, A(0.25), true, this->data(gradient));
          const A without = table.cross_entropy(size, target, A(0.25), false, this->data(untouched));
          EXPECT_EQ(with, without);
          EXPECT_TRUE(untouched.equal(logits));
          return std::vector<at::Tensor>{gradient, at::full({1}, double(with), at::kDouble)};
        },
        {in.grad(), loss.view({1})}, "cross_entropy of " + std::to_string(size));
  }
}

TEST(Isa, TheBestIsOneThatTheProcessorHas) {
  EXPECT_TRUE(supported(Isa::kPortable));
  EXPECT_TRUE(supported(best_isa()));
}

}  // namespace
}  // namespace masbak::models::kernels

// Products with gradients to both factors, against ATen and its autograd in double precision: every type, odd and
// narrow sizes, one row, views, a sum in its place.
#include "models/layers/trained_product.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace masbak::models {
namespace {

struct Sizes {
  int64_t rows, in, out;
};
constexpr Sizes kSizes[] = {{1, 96, 16}, {2, 130, 70}, {49, 97, 3}, {131, 16, 200}, {150, 200, 131}, {64, 1, 1}};
constexpr at::ScalarType kTypes[] = {at::kBFloat16, at::kFloat, at::kDouble};

// A leaf of `type` that asks for its gradient, and the same numbers in double precision.
struct Pair {
  Pair(at::IntArrayRef sizes, at::ScalarType type)
      : own(at::randn(sizes).to(type).requires_grad_()), exact(own.detach().to(at::kDouble).requires_grad_()) {}
  at::Tensor own, exact;
};

// Relative to the largest number: bfloat16 is rounded at each product, in half precision its sums are off too.
void expect_near(const at::Tensor& found, const at::Tensor& wanted, at::ScalarType type, const char* what) {
  ASSERT_EQ(found.sizes(), wanted.sizes()) << what;
  const double off = (found.to(at::kDouble) - wanted).abs().max().item<double>();
  const double most = wanted.abs().max().item<double>();
  EXPECT_LE(off, (type == at::kBFloat16 ? 1.0 / 64
                  : type == at::kFloat  ? 1e-5
                                        : 1e-12) *
                     (most + 1))
      << what << " of " << wanted.sizes() << " in " << type;
}

TEST(TrainedProduct, HasTheValuesAndGradientsOfATen) {
  at::manual_seed(2);
  for (const at::ScalarType type : kTypes) {
    for (const Sizes& size : kSizes) {
      // Adapters keep their factors in float32, whatever type the model is in.
      const at::ScalarType kept = type == at::kDouble ? type : at::kFloat;
      const Pair x({size.rows, size.in}, type);
      Pair w({size.out, size.in}, type);
      w.own = w.own.detach().to(kept).requires_grad_();
      const at::Tensor weights = at::randn({size.rows, size.out}).to(type);
      const at::Tensor y = trained_product(x.own, w.own), wanted = at::mm(x.exact, w.exact.t());
      EXPECT_EQ(y.scalar_type(), type);
      expect_near(y, wanted, type, "x W^T");
      y.mul(weights).sum().backward();
      wanted.mul(weights.to(at::kDouble)).sum().backward();
      expect_near(x.own.grad(), x.exact.grad(), type, "the gradient of x");
      expect_near(w.own.grad(), w.exact.grad(), type, "the gradient of W");
      EXPECT_EQ(w.own.grad().scalar_type(), kept);
    }
  }
}

TEST(TrainedProduct, TakesViews) {
  at::manual_seed(3);
  const at::Tensor x = at::randn({40, 100}).to(at::kBFloat16).narrow(1, 3, 70), w = at::randn({70, 33}).t();
  expect_near(trained_product(x, w), at::mm(x.to(at::kDouble), w.to(at::kBFloat16).to(at::kDouble).t()), at::kBFloat16,
              "of views");
}

TEST(TrainedProduct, AddsInPlaceWithAllThreeGradients) {
  at::manual_seed(4);
  for (const at::ScalarType type : kTypes) {
    for (const Sizes& size : kSizes) {
      const Pair start({size.rows, size.out}, type), h({size.rows, size.in}, type), b({size.out, size.in}, type);
      const at::Tensor y = start.own * 2, wanted = start.exact * 2 - 0.5 * at::mm(h.exact, b.exact.t());
      const at::Tensor sum = add_trained_product(y, h.own, b.own, -0.5);
      EXPECT_EQ(sum.data_ptr(), y.data_ptr());
      expect_near(sum, wanted, type, "y + scale * h B^T");
      const at::Tensor weights = at::randn({size.rows, size.out}).to(type);
      sum.mul(weights).sum().backward();
      wanted.mul(weights.to(at::kDouble)).sum().backward();
      expect_near(start.own.grad(), start.exact.grad(), type, "the gradient of y");
      expect_near(h.own.grad(), h.exact.grad(), type, "the gradient of h");
      expect_near(b.own.grad(), b.exact.grad(), type, "the gradient of B");
    }
  }
}

TEST(TrainedProduct, AddsToAnotherType) {
  at::manual_seed(5);
  const Pair y({30, 20}, at::kFloat), h({30, 8}, at::kBFloat16), b({20, 8}, at::kBFloat16);
  const at::Tensor sum = add_trained_product(y.own * 1, h.own, b.own, 2);
  EXPECT_EQ(sum.scalar_type(), at::kFloat);
  const at::Tensor wanted = y.exact + 2 * at::mm(h.exact, b.exact.t());
  expect_near(sum, wanted, at::kBFloat16, "the sum");
  sum.sum().backward();
  wanted.sum().backward();
  expect_near(y.own.grad(), y.exact.grad(), at::kFloat, "the gradient of y");
  expect_near(h.own.grad(), h.exact.grad(), at::kBFloat16, "the gradient of h");
  expect_near(b.own.grad(), b.exact.grad(), at::kBFloat16, "the gradient of B");
}

TEST(TrainedProduct, MakesNoNodeWhereNothingTrains) {
  const at::Tensor x = at::randn({4, 8}), w = at::randn({6, 8});
  EXPECT_FALSE(trained_product(x, w).requires_grad());
  EXPECT_FALSE(add_trained_product(at::zeros({4, 6}), x, w, 1).requires_grad());
}

}  // namespace
}  // namespace masbak::models

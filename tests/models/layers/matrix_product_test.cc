// Products of bfloat16 against ATen in double precision: narrow and wide, odd sizes, views, adding, threads.
#include "models/layers/matrix_product.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <array>

#include "models/kernels/cpu/matrix.h"
#include "models/layers/filled_size.h"

namespace masbak::models {
namespace {

at::Tensor random(at::IntArrayRef sizes) { return at::randn(sizes).to(at::kBFloat16); }
at::Tensor wide(const at::Tensor& x) { return x.to(at::kDouble); }

// The root of the squares of what x W^T sums.
at::Tensor spread(const at::Tensor& x, const at::Tensor& w) {
  return at::mm(wide(x).square(), wide(w).t().square()).sqrt();
}

// Of a result of bfloat16 that was summed in float32 and rounded once; in half precision the sum is off by a part of
// its spread (models/kernels/cpu/halves.inl).
void expect_near(const at::Tensor& found, const at::Tensor& wanted, const at::Tensor& its_spread,
                 const std::string& where) {
  const double part = kernels::fastest_way() == kernels::BFloat16Way::kHalves ? 1e-2 : 0;
  const at::Tensor off = (wide(found) - wanted).abs();
  const at::Tensor bound = wanted.abs() / 256 + 1e-4 * (1 + wanted.abs().max()) + part * its_spread;
  EXPECT_TRUE((off <= bound).all().item<bool>()) << where << ": " << off.max().item<double>() << ", "
                                                 << (off / bound).max().item<double>() << " of what is allowed";
}

TEST(MatrixProduct, AgreesWithATen) {
  at::manual_seed(5);
  for (const int64_t rows : {1, 5, 48, 49, 131}) {
    for (const auto& [in, out] : {std::pair<int64_t, int64_t>{96, 16},
                                  {97, 3},
                                  {16, 130},
                                  {1, 200},
                                  {64, 64},
                                  {300, 33},
                                  {129, 66},
                                  {70, 1100},
                                  {4100, 200}}) {
      const bool narrow = std::min(in, out) <= 64;
      const at::Tensor x = random({rows, in + 5}).narrow(1, 2, in), y = random({rows, out + 3}).narrow(1, 1, out);
      for (const bool turned : {false, true}) {
        const at::Tensor w =
            turned ? random({in, out + 1}).narrow(1, 0, out).t() : random({out, in + 1}).narrow(1, 1, in);
        if (narrow) {
          ASSERT_TRUE(takes_product(x, w));
        }
        const at::Tensor exact = at::mm(wide(x), wide(w).t()), its_spread = spread(x, w);
        const std::string where = std::to_string(rows) + " " + std::to_string(in) + " " + std::to_string(out);
        at::Tensor plain = at::empty_like(y), sum = y.clone();
        matrix_product(x, w, 1.5, false, plain);
        expect_near(plain, 1.5 * exact, 1.5 * its_spread, where);
        matrix_product(x, w, -0.5, true, sum);
        expect_near(sum, wide(y) - 0.5 * exact, 0.5 * its_spread, where + " added");
      }
    }
  }
}

// Of different sizes at once, some with a second product added, odd and deep ones among them.
std::vector<ProductTerms> several(int64_t scale) {
  std::vector<ProductTerms> terms;
  for (const auto& [rows, in, out, rank] : {std::array<int64_t, 4>{70, 97, 130, 0},
                                            {33, 64, 64, 5},
                                            {1, 30, 20, 3},
                                            {50, 2100, 90, 16},
                                            {129, 257, 700, 33}}) {
    const int64_t columns = out * scale;
    ProductTerms one{random({rows, columns}), random({rows, in + 1}).narrow(1, 1, in), random({columns, in})};
    if (rank > 0) one.h_TR = random({rows, rank}), one.b_OR = random({rank, columns}).t();
    if (rank != 5) one.bias_O = random({columns});
    terms.push_back(one);
  }
  return terms;
}

at::Tensor spread(const ProductTerms& terms) {
  const at::Tensor product = spread(terms.x_TI, terms.w_OI);
  return terms.h_TR.defined() ? at::hypot(product, spread(terms.h_TR, terms.b_OR)) : product;
}

at::Tensor exact(const ProductTerms& terms) {
  const at::Tensor product = at::mm(wide(terms.x_TI), wide(terms.w_OI).t());
  const at::Tensor joined = terms.h_TR.defined() ? product + at::mm(wide(terms.h_TR), wide(terms.b_OR).t()) : product;
  return terms.bias_O.defined() ? joined + wide(terms.bias_O) : joined;
}

// As few panels as threads multiply together, and as many as they share out.
TEST(MatrixProduct, SeveralAtOnceAgreeWithATen) {
  at::manual_seed(8);
  const int threads = at::get_num_threads();
  for (const int count : {1, 2, 5}) {
    at::set_num_threads(count);
    for (const int64_t scale : {1, 4}) {
      const std::vector<ProductTerms> terms = several(scale);
      std::vector<at::Tensor> wanted;
      for (const ProductTerms& one : terms) wanted.push_back(exact(one));
      matrix_products(terms, 1, false);
      for (size_t i = 0; i < terms.size(); ++i) {
        expect_near(terms[i].y_TO, wanted[i], spread(terms[i]), std::to_string(i));
      }
      for (size_t i = 0; i < terms.size(); ++i) wanted[i] = wide(terms[i].y_TO) - 2 * wanted[i];
      matrix_products(terms, -2, true);
      for (size_t i = 0; i < terms.size(); ++i) {
        expect_near(terms[i].y_TO, wanted[i], 2 * spread(terms[i]), std::to_string(i) + " added");
      }
    }
  }
  at::set_num_threads(threads);
}

// More rows and panels than are taken at once between the parts of the depth.
TEST(MatrixProduct, DeepAndLargeAgreesWithATen) {
  at::manual_seed(9);
  const int threads = at::get_num_threads();
  const at::Tensor x = random({1000, 2100}), h = random({1000, 16}), b = random({1100, 16});
  for (const bool turned : {false, true}) {
    const at::Tensor w = turned ? random({2100, 1100}).t() : random({1100, 2100});
    for (const int count : {1, 2}) {
      at::set_num_threads(count);
      const ProductTerms terms{random({1000, 1100}), x, w, h, b, {}};
      const at::Tensor wanted = exact(terms) + wide(terms.y_TO);
      matrix_products({terms}, 1, true);
      expect_near(terms.y_TO, wanted, spread(terms), "threads " + std::to_string(count));
    }
  }
  at::set_num_threads(threads);
}

TEST(MatrixProduct, OuterAgreesWithATen) {
  at::manual_seed(6);
  for (const int64_t rows : {1, 2, 7, 100, 301}) {
    for (const auto& [in, out] : {std::pair<int64_t, int64_t>{70, 16}, {16, 129}, {64, 64}, {1, 1}, {200, 5}}) {
      const at::Tensor x = random({rows, in + 4}).narrow(1, 1, in), y = random({rows, out + 2}).narrow(1, 2, out);
      ASSERT_TRUE(is_narrow_outer(y, x));
      const at::Tensor g = narrow_outer(y, x), exact = at::mm(wide(y).t(), wide(x));
      ASSERT_EQ(g.sizes(), exact.sizes());
      EXPECT_EQ(g.scalar_type(), at::kFloat);
      EXPECT_LT((wide(g) - exact).abs().max().item<double>(), 4e-6 * static_cast<double>(rows + 4))
          << rows << " " << in << " " << out;
    }
  }
}

TEST(MatrixProduct, DoesNotDependOnThreads) {
  at::manual_seed(7);
  const int threads = at::get_num_threads();
  const at::Tensor x = random({2000, 512}), a = random({16, 512}), w = random({900, 512}), y = random({2000, 16});
  at::Tensor results[2], wide_results[2], outers[2];
  const std::vector<ProductTerms> terms = several(4);
  std::vector<at::Tensor> together[2];
  for (const int i : {0, 1}) {
    at::set_num_threads(i == 0 ? 1 : 3);
    results[i] = at::empty({2000, 16}, x.options());
    matrix_product(x, a, 1, false, results[i]);
    wide_results[i] = matrix_product(x, w);
    outers[i] = narrow_outer(y, x);
    matrix_products(terms, 1, false);
    for (const ProductTerms& one : terms) together[i].push_back(one.y_TO.clone());
  }
  at::set_num_threads(threads);
  EXPECT_TRUE(at::equal(results[0], results[1]));
  EXPECT_TRUE(at::equal(wide_results[0], wide_results[1]));
  EXPECT_TRUE(at::equal(outers[0], outers[1]));
  for (size_t i = 0; i < terms.size(); ++i) EXPECT_TRUE(at::equal(together[0][i], together[1][i])) << i;
}

TEST(MatrixProduct, LeavesOthersAlone) {
  const at::Tensor x = random({fewest_product_rows() - 1, 128}), w = random({128, 128});
  EXPECT_FALSE(takes_product(x, w));  // a few tokens are not worth packing w
  EXPECT_FALSE(takes_product(x.to(at::kFloat), w.narrow(0, 0, 8)));
  EXPECT_FALSE(is_narrow_outer(x, x));
}

TEST(FilledSize, KeepsToEightAnOctave) {
  for (int64_t count = 1; count < 5000; ++count) {
    const int64_t size = filled_size(count, 8);
    ASSERT_GE(size, count);
    EXPECT_LT(size - count, std::max<int64_t>(8, count / 8 + 1)) << count;
    EXPECT_EQ(filled_size(size, 8), size) << count;
  }
  EXPECT_EQ(filled_size(0, 8), 0);
  EXPECT_EQ(filled_size(700, 16), 704);
  EXPECT_EQ(filled_size(1030, 16), 1152);
}

}  // namespace
}  // namespace masbak::models

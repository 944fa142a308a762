// Products of bfloat16 against ATen in double precision: narrow and wide, odd sizes, views, adding, threads.
#include "models/layers/matrix_product.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "models/layers/filled_size.h"

namespace masbak::models {
namespace {

at::Tensor random(at::IntArrayRef sizes) { return at::randn(sizes).to(at::kBFloat16); }
at::Tensor wide(const at::Tensor& x) { return x.to(at::kDouble); }

// Of a result of bfloat16 that was summed in float32 and rounded once.
void expect_near(const at::Tensor& found, const at::Tensor& wanted, const std::string& where) {
  const at::Tensor off = (wide(found) - wanted).abs(), bound = wanted.abs() / 256 + 1e-4 * (1 + wanted.abs().max());
  EXPECT_TRUE((off <= bound).all().item<bool>()) << where << ": " << off.max().item<double>();
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
        const at::Tensor exact = at::mm(wide(x), wide(w).t());
        const std::string where = std::to_string(rows) + " " + std::to_string(in) + " " + std::to_string(out);
        at::Tensor plain = at::empty_like(y), sum = y.clone();
        matrix_product(x, w, 1.5, false, plain);
        expect_near(plain, 1.5 * exact, where);
        matrix_product(x, w, -0.5, true, sum);
        expect_near(sum, wide(y) - 0.5 * exact, where + " added");
      }
    }
  }
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
  for (const int i : {0, 1}) {
    at::set_num_threads(i == 0 ? 1 : 3);
    results[i] = at::empty({2000, 16}, x.options());
    matrix_product(x, a, 1, false, results[i]);
    wide_results[i] = matrix_product(x, w);
    outers[i] = narrow_outer(y, x);
  }
  at::set_num_threads(threads);
  EXPECT_TRUE(at::equal(results[0], results[1]));
  EXPECT_TRUE(at::equal(wide_results[0], wide_results[1]));
  EXPECT_TRUE(at::equal(outers[0], outers[1]));
}

TEST(MatrixProduct, LeavesOthersAlone) {
  const at::Tensor x = random({4, 128}), w = random({128, 128});
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

// Matrix products in every version that this processor has, against ATen in double precision: odd sizes, a part of the
// depth, left factors that lie apart or transposed, and adding to what is there.
#include "models/kernels/cpu/matrix.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

namespace masbak::models::kernels {
namespace {

struct Version {
  Isa isa;
  bool pairs;
};

std::vector<Version> versions() {
  std::vector<Version> result;
  for (const Isa isa : {Isa::kPortable, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16}) {
    if (supported(isa)) result.push_back({isa, false});
  }
  if (has_pair_products()) result.push_back({Isa::kAvx512Bf16, true});
  return result;
}

template <typename T>
class Matrix : public ::testing::Test {
 protected:
  using A = typename Accumulate<T>::type;
  static constexpr at::ScalarType kType = c10::CppTypeToScalarType<T>::value;
  static constexpr at::ScalarType kSums = c10::CppTypeToScalarType<A>::value;

  void SetUp() override { at::manual_seed(3); }
  static at::Tensor random(int64_t rows, int64_t columns) { return at::randn({rows, columns}, at::kDouble).to(kType); }
  // Sums of exact products: bfloat16 pairs differ only in the order of float's additions.
  static double bound(int64_t depth) {
    return (sizeof(A) == sizeof(double) ? 1e-14 : 4e-6) * static_cast<double>(depth + 4);
  }

  // c = c0 + a[:, :used] b[:used, :], a [rows, depth], b [depth, columns], each way of packing.
  static void check(int64_t rows, int64_t columns, int64_t depth, int64_t used) {
    const at::Tensor a = random(rows, depth + 3), b = random(depth, columns + 2), start = at::randn({rows, columns});
    const at::Tensor left = a.narrow(1, 0, used).to(at::kDouble);
    const at::Tensor product = at::mm(left, b.narrow(0, 0, used).narrow(1, 0, columns).to(at::kDouble));
    const at::Tensor turned = b.narrow(1, 0, columns).t().contiguous();
    at::Tensor packed = at::full({packed_size<T>(depth, columns)}, 9, kType);
    for (const Version& version : versions()) {
      const MatrixKernels<T>& table = matrix_kernels<T>(version.isa, version.pairs);
      for (const bool transposed : {false, true}) {
        T* to = packed.mutable_data_ptr<T>();
        if (transposed) {
          table.pack_transposed(depth, columns, turned.const_data_ptr<T>(), depth, to);
        } else {
          table.pack(depth, columns, b.const_data_ptr<T>(), columns + 2, to);
        }
        for (const bool add : {false, true}) {
          at::Tensor c = start.to(kSums).clone();
          table.multiply(rows, columns, used, {a.const_data_ptr<T>(), depth + 3}, to, panel_size<T>(depth), add,
                         c.mutable_data_ptr<A>(), columns);
          const at::Tensor wanted = add ? start.to(kSums).to(at::kDouble) + product : product;
          EXPECT_LT((c.to(at::kDouble) - wanted).abs().max().item<double>(), bound(depth))
              << rows << " x " << columns << " x " << used << " of " << depth << ", version "
              << static_cast<int>(version.isa) << version.pairs;
        }
      }
    }
  }
};
using Types = ::testing::Types<float, double, c10::BFloat16>;
TYPED_TEST_SUITE(Matrix, Types);

TYPED_TEST(Matrix, AgreesWithATen) {
  for (const int64_t rows : {1, 5, 6, 7, 23}) {
    for (const int64_t columns : {1, 16, 63, 64, 65, 130}) {
      for (const int64_t depth : {1, 2, 7, 16, 33}) this->check(rows, columns, depth, depth);
    }
  }
  this->check(96, 192, 256, 256);
  this->check(50, 130, 700, 699);  // several blocks of the depth
  this->check(7, 70, 0, 0);
}

TYPED_TEST(Matrix, TakesThePartOfTheDepth) {
  for (const int64_t used : {1, 2, 9, 30}) this->check(11, 70, 31, used);
}

// What attention does with a tile's columns: pairs of rows are the depth.
TYPED_TEST(Matrix, TakesTransposedLeftFactors) {
  using T = TypeParam;
  using A = typename Accumulate<T>::type;
  const int64_t step = kDepthStep<T>;
  for (const int64_t depth : {2, 6, 32}) {
    const int64_t rows = 19, columns = 66;
    const at::Tensor a = this->random(depth, rows), b = this->random(depth, columns);
    const at::Tensor wanted = at::mm(a.to(at::kDouble).t(), b.to(at::kDouble));
    at::Tensor packed = at::empty({packed_size<T>(depth, columns)}, this->kType), pairs = at::empty_like(a);
    for (const Version& version : versions()) {
      const MatrixKernels<T>& table = matrix_kernels<T>(version.isa, version.pairs);
      for (int64_t k = 0; k < depth; k += step) {
        const T* from = a.const_data_ptr<T>() + k * rows;
        T* to = pairs.mutable_data_ptr<T>() + k * rows;
        if (step == 1) std::copy_n(from, rows, to);
        if (step == 2) table.interleave(rows, from, from + rows, to);
      }
      table.pack(depth, columns, b.const_data_ptr<T>(), columns, packed.mutable_data_ptr<T>());
      at::Tensor c = at::empty({rows, columns}, this->kSums);
      table.multiply(rows, columns, depth, {pairs.const_data_ptr<T>(), step, step * rows}, packed.const_data_ptr<T>(),
                     panel_size<T>(depth), false, c.mutable_data_ptr<A>(), columns);
      EXPECT_LT((c.to(at::kDouble) - wanted).abs().max().item<double>(), this->bound(depth));
    }
  }
}

// A caller that works in pairs rounds an odd depth up, with a zero in the left factor: what is packed must be a number.
TEST(MatrixOfBFloat16, FillsAnOddDepthUp) {
  using T = c10::BFloat16;
  const int64_t rows = 7, columns = 70, depth = 5;
  const at::Tensor a = at::cat({at::randn({rows, depth}), at::zeros({rows, 1})}, 1).to(at::kBFloat16);
  const at::Tensor b = at::randn({depth, columns}).to(at::kBFloat16), turned = b.t().contiguous();
  const at::Tensor wanted = at::mm(a.narrow(1, 0, depth).to(at::kDouble), b.to(at::kDouble));
  for (const Version& version : versions()) {
    const MatrixKernels<T>& table = matrix_kernels<T>(version.isa, version.pairs);
    for (const bool transposed : {false, true}) {
      at::Tensor packed = at::empty({packed_size<T>(depth, columns)}, at::kBFloat16);
      packed.fill_(std::numeric_limits<float>::quiet_NaN());
      if (transposed) {
        table.pack_transposed(depth, columns, turned.const_data_ptr<T>(), depth, packed.mutable_data_ptr<T>());
      } else {
        table.pack(depth, columns, b.const_data_ptr<T>(), columns, packed.mutable_data_ptr<T>());
      }
      at::Tensor c = at::empty({rows, columns}, at::kFloat);
      table.multiply(rows, columns, depth + 1, {a.const_data_ptr<T>(), depth + 1}, packed.const_data_ptr<T>(),
                     panel_size<T>(depth), false, c.mutable_data_ptr<float>(), columns);
      EXPECT_LT((c.to(at::kDouble) - wanted).abs().max().item<double>(), 1e-4) << static_cast<int>(version.isa);
    }
  }
}

}  // namespace
}  // namespace masbak::models::kernels

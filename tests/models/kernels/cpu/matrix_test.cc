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
  BFloat16Way way = BFloat16Way::kFloats;
};

template <typename T>
std::vector<Version> versions() {
  std::vector<Version> result;
  for (const Isa isa : {Isa::kPortable, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16}) {
    if (supported(isa)) result.push_back({isa});
  }
  for (const BFloat16Way way : {BFloat16Way::kPairs, BFloat16Way::kHalves}) {
    if (std::is_same_v<T, c10::BFloat16> && supported(way)) result.push_back({Isa::kAvx512Bf16, way});
  }
  return result;
}

template <typename T>
class Matrix : public ::testing::Test {
 public:
  using A = typename Accumulate<T>::type;
  static constexpr at::ScalarType kType = c10::CppTypeToScalarType<T>::value;
  static constexpr at::ScalarType kSums = c10::CppTypeToScalarType<A>::value;

  void SetUp() override { at::manual_seed(3); }
  static at::Tensor random(int64_t rows, int64_t columns) { return at::randn({rows, columns}, at::kDouble).to(kType); }
  // Sums of exact products: bfloat16 pairs differ only in the order of float's additions. Halves are off by a part of
  // the root of the squares of what is summed (halves.inl).
  static void expect_near(const Version& version, const at::Tensor& found, const at::Tensor& a, const at::Tensor& b,
                          const at::Tensor& wanted) {
    const at::Tensor off = (found.to(at::kDouble) - wanted).abs();
    const double floats = (sizeof(A) == sizeof(double) ? 1e-14 : 4e-6) * static_cast<double>(a.size(1) + 4);
    const double part = version.way == BFloat16Way::kHalves ? 1e-2 : 0;
    const at::Tensor bound = part * at::mm(a.square(), b.square()).sqrt() + floats;
    EXPECT_TRUE((off <= bound).all().item<bool>())
        << a.sizes() << " x " << b.sizes() << ", version " << static_cast<int>(version.isa)
        << static_cast<int>(version.way) << ": " << off.max().item<double>();
  }

  // c = c0 + a[:, :used] b[:used, :], a [rows, depth], b [depth, columns], each way of packing.
  static void check(int64_t rows, int64_t columns, int64_t depth, int64_t used) {
    const at::Tensor a = random(rows, depth + 3), b = random(depth, columns + 2), start = at::randn({rows, columns});
    const at::Tensor left = a.narrow(1, 0, used).to(at::kDouble);
    const at::Tensor right = b.narrow(0, 0, used).narrow(1, 0, columns).to(at::kDouble);
    const at::Tensor product = at::mm(left, right);
    const at::Tensor turned = b.narrow(1, 0, columns).t().contiguous();
    at::Tensor packed = at::full({packed_size<T>(depth, columns)}, 9, kType);
    for (const Version& version : versions<T>()) {
      const MatrixKernels<T>& table = matrix_kernels<T>(version.isa, version.way);
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
          expect_near(version, c, left, right, wanted);
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
  this->check(13, 96, 512, 512);
  this->check(7, 70, 0, 0);
}

TYPED_TEST(Matrix, TakesThePartOfTheDepth) {
  for (const int64_t used : {1, 2, 9, 30}) this->check(11, 70, 31, used);
}

// What attention does with a square's columns: pairs of rows are the depth, from the last to the first, and a column
// takes part of them.
TYPED_TEST(Matrix, TakesTransposedLeftFactors) {
  using T = TypeParam;
  using A = typename Accumulate<T>::type;
  const int64_t step = kDepthStep<T>;
  for (const auto& [depth, used] : {std::pair<int64_t, int64_t>{2, 2}, {6, 5}, {7, 7}, {32, 32}, {193, 145}}) {
    const int64_t rows = 19, columns = 66, room = (depth + 1) / 2 * 2, last = depth - 1;
    const at::Tensor a = this->random(depth, rows), b = this->random(depth, columns);
    const at::Tensor left = a.narrow(0, depth - used, used).to(at::kDouble).t();
    const at::Tensor right = b.narrow(0, depth - used, used).to(at::kDouble), wanted = at::mm(left, right);
    at::Tensor packed = at::empty({packed_size<T>(depth, columns)}, this->kType);
    at::Tensor pairs = at::empty({room, rows}, this->kType);
    const T* data = a.const_data_ptr<T>();
    for (const Version& version : versions<T>()) {
      const MatrixKernels<T>& table = matrix_kernels<T>(version.isa, version.way);
      for (int64_t k = 0; k < depth; k += step) {
        const T *first = data + (last - k) * rows, *second = data + std::max<int64_t>(last - k - 1, 0) * rows;
        T* to = pairs.mutable_data_ptr<T>() + k * rows;
        if (step == 1) std::copy_n(first, rows, to);
        if (step == 2) table.interleave(rows, first, second, to);
      }
      const T* from = b.const_data_ptr<T>() + last * columns;
      table.pack(depth, columns, from, -columns, packed.mutable_data_ptr<T>());
      at::Tensor c = at::empty({rows, columns}, this->kSums);
      table.multiply(rows, columns, used, {pairs.const_data_ptr<T>(), step, step * rows}, packed.const_data_ptr<T>(),
                     panel_size<T>(depth), false, c.mutable_data_ptr<A>(), columns);
      this->expect_near(version, c, left, right, wanted);
      if (step == 1) {
        table.multiply(rows, columns, used, {data + last * rows, 1, -rows}, packed.const_data_ptr<T>(),
                       panel_size<T>(depth), false, c.mutable_data_ptr<A>(), columns);
        this->expect_near(version, c, left, right, wanted);
      }
    }
  }
}

// Left factors that are prepared once; the depth in two parts that are packed on their own, as large products take it.
TEST(MatrixOfBFloat16, TakesPreparedLeftFactors) {
  using T = c10::BFloat16;
  at::manual_seed(4);
  for (const Version& version : versions<T>()) {
    const MatrixKernels<T>& table = matrix_kernels<T>(version.isa, version.way);
    if (table.prepare == nullptr) continue;
    for (const int64_t rows : {1, 6, 19, 48}) {
      for (const int64_t depth : {1, 31, 255, 256, 257, 600}) {
        const int64_t columns = 130, first = std::min(depth, kScaledDepth), rest = depth - first;
        const at::Tensor a = at::randn({rows, depth + 5}).to(at::kBFloat16);
        const at::Tensor b = at::randn({depth, columns}).to(at::kBFloat16), start = at::randn({rows, columns});
        const at::Tensor left = a.narrow(1, 0, depth).to(at::kDouble), right = b.to(at::kDouble);
        const int64_t stride = table.prepared_size(depth) + 3;
        at::Tensor prepared = at::empty({rows, stride}), c = start.clone();
        const float* numbers = prepared.const_data_ptr<float>();
        table.prepare(rows, depth, a.const_data_ptr<T>(), depth + 5, prepared.mutable_data_ptr<float>(), stride);
        at::Tensor packed = at::empty({packed_size<T>(depth, columns)}, at::kBFloat16);
        T* to = packed.mutable_data_ptr<T>();
        table.pack(first, columns, b.const_data_ptr<T>(), columns, to);
        table.multiply_prepared(rows, columns, first, numbers, stride, to, panel_size<T>(first), true,
                                c.mutable_data_ptr<float>(), columns);
        if (rest > 0) {
          table.pack(rest, columns, b.const_data_ptr<T>() + first * columns, columns, to);
          table.multiply_prepared(rows, columns, rest, numbers + table.prepared_size(first), stride, to,
                                  panel_size<T>(rest), true, c.mutable_data_ptr<float>(), columns);
        }
        Matrix<T>::expect_near(version, c, left, right, start.to(at::kDouble) + at::mm(left, right));
      }
    }
  }
}

// What half precision alone could not hold: numbers of any size, and rows of very different ones. The sums in half
// precision are off by half of what rounding the result to bfloat16 takes (1.7e-3).
TEST(MatrixOfBFloat16, TakesNumbersOfAnySize) {
  using T = c10::BFloat16;
  at::manual_seed(6);
  const int64_t rows = 30, columns = 70, depth = 300;
  for (const auto& [left_size, right_size] : {std::pair<double, double>{1e-20, 1e10}, {1e12, 1e3}, {1e-12, 1e-12}}) {
    const at::Tensor a =
        (left_size * at::randn({rows, depth}, at::kDouble) * at::exp(4 * at::randn({rows, 1}))).to(at::kBFloat16);
    const at::Tensor b = (right_size * at::randn({depth, columns}, at::kDouble)).to(at::kBFloat16);
    const at::Tensor left = a.to(at::kDouble), right = b.to(at::kDouble), wanted = at::mm(left, right);
    const at::Tensor size = at::mm(left.square(), right.square()).sqrt();
    for (const Version& version : versions<T>()) {
      const MatrixKernels<T>& table = matrix_kernels<T>(version.isa, version.way);
      at::Tensor packed = at::empty({packed_size<T>(depth, columns)}, at::kBFloat16);
      table.pack(depth, columns, b.const_data_ptr<T>(), columns, packed.mutable_data_ptr<T>());
      at::Tensor c = at::empty({rows, columns}, at::kFloat);
      table.multiply(rows, columns, depth, {a.const_data_ptr<T>(), depth}, packed.const_data_ptr<T>(),
                     panel_size<T>(depth), false, c.mutable_data_ptr<float>(), columns);
      const at::Tensor off = (c.to(at::kDouble) - wanted) / size;
      EXPECT_LT(off.square().mean().sqrt().item<double>(), version.way == BFloat16Way::kHalves ? 1e-3 : 1e-6);
    }
  }
}

// An infinity or a NaN reaches its own row and column only.
TEST(MatrixOfBFloat16, KeepsInfinitiesAndNaNs) {
  using T = c10::BFloat16;
  const float infinity = std::numeric_limits<float>::infinity();
  const int64_t rows = 14, columns = 70, depth = 40;
  for (const Version& version : versions<T>()) {
    const MatrixKernels<T>& table = matrix_kernels<T>(version.isa, version.way);
    at::Tensor a = at::ones({rows, depth}, at::kBFloat16);
    const at::Tensor b = at::ones({depth, columns}, at::kBFloat16);
    a[2][3] = infinity, a[13][7] = std::numeric_limits<float>::quiet_NaN();
    at::Tensor packed = at::empty({packed_size<T>(depth, columns)}, at::kBFloat16);
    table.pack(depth, columns, b.const_data_ptr<T>(), columns, packed.mutable_data_ptr<T>());
    at::Tensor c = at::empty({rows, columns}, at::kFloat);
    table.multiply(rows, columns, depth, {a.const_data_ptr<T>(), depth}, packed.const_data_ptr<T>(),
                   panel_size<T>(depth), false, c.mutable_data_ptr<float>(), columns);
    EXPECT_TRUE((c[2] == infinity).all().item<bool>());
    EXPECT_TRUE(c[13].isnan().all().item<bool>());
    c[2] = depth, c[13] = depth;
    EXPECT_TRUE((c == depth).all().item<bool>()) << "version " << static_cast<int>(version.isa);
  }
}

// A caller that works in pairs rounds an odd depth up, with a zero in the left factor: what is packed must be a number.
TEST(MatrixOfBFloat16, FillsAnOddDepthUp) {
  using T = c10::BFloat16;
  const int64_t rows = 7, columns = 70, depth = 5;
  const at::Tensor a = at::cat({at::randn({rows, depth}), at::zeros({rows, 1})}, 1).to(at::kBFloat16);
  const at::Tensor b = at::randn({depth, columns}).to(at::kBFloat16), turned = b.t().contiguous();
  const at::Tensor wanted = at::mm(a.narrow(1, 0, depth).to(at::kDouble), b.to(at::kDouble));
  for (const Version& version : versions<T>()) {
    const MatrixKernels<T>& table = matrix_kernels<T>(version.isa, version.way);
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
      EXPECT_LT((c.to(at::kDouble) - wanted).abs().max().item<double>(),
                version.way == BFloat16Way::kHalves ? 0.02 : 1e-4)
          << static_cast<int>(version.isa);
    }
  }
}

}  // namespace
}  // namespace masbak::models::kernels

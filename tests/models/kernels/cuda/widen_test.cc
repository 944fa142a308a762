// The bodies of the CUDA kernels that widen stored weights, run on the CPU: against ATen in double precision, and bit
// by bit against what the CPU's reader makes of the same bytes.
#include "models/kernels/cuda/widen.h"

#include "models/checkpoint/quantised_tensor.h"
#include "tests/models/kernels/cuda/tensors.h"

namespace masbak::models::cuda {
namespace {

// Parts of `count` numbers: the whole, aligned and odd pieces, the last number, nothing.
std::vector<std::pair<int64_t, int64_t>> pieces(int64_t count) {
  std::vector<std::pair<int64_t, int64_t>> parts{{0, count}, {count - 1, 1}, {0, 0}};
  if (count > 40) parts.insert(parts.end(), {{8, 16}, {8, 13}, {3, 24}, {16, count - 16}, {1, count - 2}});
  return parts;
}

// Runs over every piece and type; `wanted` is the weight in double, each number correctly rounded to float32 inside.
template <typename Arguments>
void expect_pieces(Arguments a, Launch<Arguments> KernelTable::*launch, const at::Tensor& wanted) {
  for (const Precision& p : kPrecisions) {
    for (const auto& [begin, count] : pieces(wanted.numel())) {
      for (const int64_t offset : {0, 1}) {  // of the result in its memory: aligned or not
        const at::Tensor out = unwritten({count + offset}, p.dtype).narrow(0, offset, count);
        a.begin = begin;
        a.count = count;
        a.type = p.type;
        a.out = out.mutable_data_ptr();
        ASSERT_EQ((host_kernels().*launch)(a, nullptr), nullptr);
        const at::Tensor part = wanted.flatten().narrow(0, begin, count);
        EXPECT_TRUE(at::allclose(out, part.to(at::kFloat).to(p.dtype), 0, 0, true)) << begin << " + " << count;
        const at::Tensor again = unwritten({count + offset}, p.dtype).narrow(0, offset, count);
        a.out = again.mutable_data_ptr();
        ASSERT_EQ((host_kernels(Order::kBackwards).*launch)(a, nullptr), nullptr);
        EXPECT_TRUE(same_bits(out.contiguous(), again.contiguous()));
      }
    }
  }
}

// Float products in double, rounded to float32: what one multiplication in float32 gives.
at::Tensor product(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) * b.to(at::kDouble)).to(at::kFloat).to(at::kDouble);
}

TEST(CudaWiden, Fp8BlocksOverManyShapes) {
  at::manual_seed(10);
  for (const auto& [experts, rows, columns] : {std::array<int64_t, 3>{1, 1, 1}, {1, 130, 264}, {3, 9, 40}, {2, 5, 7}}) {
    for (const auto& [block_rows, block_columns] : {std::pair<int64_t, int64_t>{128, 128}, {4, 8}, {3, 5}}) {
      const at::Tensor codes = at::randint(256, {experts, rows, columns}, at::kLong).to(at::kByte);
      const int64_t grid_rows = (rows + block_rows - 1) / block_rows;
      const int64_t grid_columns = (columns + block_columns - 1) / block_columns;
      const at::Tensor scales = at::randn({experts, grid_rows, grid_columns}) * 3;
      scales[experts - 1][grid_rows - 1][0] = std::numeric_limits<float>::quiet_NaN();
      const at::Tensor spread = scales.repeat_interleave(block_rows, 1)
                                    .repeat_interleave(block_columns, 2)
                                    .narrow(1, 0, rows)
                                    .narrow(2, 0, columns);
      WidenFp8 a;
      a.codes = codes.const_data_ptr<uint8_t>();
      a.scales = scales.const_data_ptr<float>();
      a.rows = rows;
      a.columns = columns;
      a.block_rows = block_rows;
      a.block_columns = block_columns;
      expect_pieces(a, &KernelTable::widen_fp8, product(codes.view(at::kFloat8_e4m3fn).to(at::kFloat), spread));
    }
  }
}

TEST(CudaWiden, EveryCodeOfFp8) {
  const at::Tensor codes = at::arange(256).to(at::kByte), one = at::ones({1});
  WidenFp8 a;
  a.codes = codes.const_data_ptr<uint8_t>();
  a.scales = one.const_data_ptr<float>();
  a.rows = 1;
  a.columns = a.block_columns = 256;
  expect_pieces(a, &KernelTable::widen_fp8, codes.view(at::kFloat8_e4m3fn).to(at::kDouble));
}

TEST(CudaWiden, Int8RowsOverManyShapes) {
  at::manual_seed(11);
  for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{1, 1}, {3, 5}, {7, 64}, {2, 2056}}) {
    const at::Tensor codes = at::randint(-128, 128, {rows, columns}, at::kLong).to(at::kChar);
    const at::Tensor scales = at::rand({rows});
    scales[rows - 1] = std::numeric_limits<float>::quiet_NaN();
    WidenInt8 a;
    a.codes = codes.const_data_ptr<int8_t>();
    a.scales = scales.const_data_ptr<float>();
    a.columns = columns;
    const at::Tensor step = product(scales, at::full({1}, 1.0F / 127.0F));
    expect_pieces(a, &KernelTable::widen_int8, product(codes, step.unsqueeze(1)));
  }
}

class CudaWidenNf4 : public testing::Test {
 protected:
  // `count` random codes in blocks, and what they are in double.
  void make(int64_t count, int64_t block, int64_t nested_block) {
    at::manual_seed(12 + count);
    blocks_ = (count + block - 1) / block;
    packed_ = at::randint(256, {(count + 1) / 2}, at::kLong).to(at::kByte);
    const at::Tensor nibbles =
        at::stack({packed_.to(at::kLong).floor_divide(16), packed_.to(at::kLong).remainder(16)}, 1);
    codes_ = nibbles.flatten().narrow(0, 0, count);
    table_ = at::tensor(at::ArrayRef<float>(kNf4Values, 16));
    args_.codes = packed_.const_data_ptr<uint8_t>();
    args_.table = table_.const_data_ptr<float>();
    args_.block = block;
    args_.nested_block = nested_block;
    if (nested_block == 0) {
      absmax_ = at::rand({blocks_});
      args_.absmax = absmax_.const_data_ptr<float>();
    } else {
      inner_ = at::randint(256, {blocks_}, at::kLong).to(at::kByte);
      inner_table_ = at::randn({256});
      outer_ = at::rand({(blocks_ + nested_block - 1) / nested_block});
      args_.absmax_codes = inner_.const_data_ptr<uint8_t>();
      args_.nested_table = inner_table_.const_data_ptr<float>();
      args_.nested_absmax = outer_.const_data_ptr<float>();
      args_.nested_offset = 0.0371F;
      const at::Tensor spread = outer_.repeat_interleave(nested_block).narrow(0, 0, blocks_);
      absmax_ = (product(inner_table_.index_select(0, inner_.to(at::kLong)), spread) +
                 static_cast<double>(args_.nested_offset))
                    .to(at::kFloat);
    }
    const at::Tensor scale = absmax_.repeat_interleave(block).narrow(0, 0, count);
    wanted_ = product(table_.index_select(0, codes_), scale);
  }

  int64_t blocks_ = 0;
  at::Tensor packed_, codes_, table_, absmax_, inner_, inner_table_, outer_, wanted_;
  WidenNf4 args_;
};

TEST_F(CudaWidenNf4, OverManyShapes) {
  for (const int64_t count : {1, 2, 63, 64, 65, 1000, 4104}) {
    for (const int64_t block : {64, 16, 6}) {
      for (const int64_t nested : {0, 256, 3}) {
        SCOPED_TRACE(testing::Message() << count << " in blocks of " << block << ", nested " << nested);
        make(count, block, nested);
        expect_pieces(args_, &KernelTable::widen_nf4, wanted_);
      }
    }
  }
}

TEST_F(CudaWidenNf4, AScaleThatIsNoNumberSpoilsItsBlockAlone) {
  make(1024, 64, 0);
  absmax_[3] = std::numeric_limits<float>::quiet_NaN();
  const at::Tensor out = unwritten({1024}, at::kFloat);
  args_.count = 1024;
  args_.out = out.mutable_data_ptr();
  ASSERT_EQ(host_kernels().widen_nf4(args_, nullptr), nullptr);
  EXPECT_TRUE(out.narrow(0, 192, 64).isnan().all().item<bool>());
  EXPECT_EQ(out.isnan().sum().item<int64_t>(), 64);
}

TEST_F(CudaWidenNf4, MissingScalesAreRefused) {
  make(64, 64, 256);
  args_.nested_absmax = nullptr;
  EXPECT_NE(host_kernels().widen_nf4(args_, nullptr), nullptr);
  make(64, 64, 0);
  args_.absmax = nullptr;
  EXPECT_NE(host_kernels().widen_nf4(args_, nullptr), nullptr);
}

TEST(CudaWiden, BadSizesAreRefused) {
  WidenFp8 fp8;
  fp8.count = 1;
  EXPECT_NE(host_kernels().widen_fp8(fp8, nullptr), nullptr);
  WidenInt8 int8;
  int8.count = 1;
  EXPECT_NE(host_kernels().widen_int8(int8, nullptr), nullptr);
}

}  // namespace
}  // namespace masbak::models::cuda

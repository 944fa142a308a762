// The bodies of the mixture of experts' CUDA kernels, run on the CPU, against ATen in double precision.
#include "models/kernels/cuda/moe.h"

#include "tests/models/kernels/cuda/tensors.h"

namespace masbak::models::cuda {
namespace {

struct Sorted {
  at::Tensor offsets, token_of_row, row_of_pair;
};

Sorted sort(const at::Tensor& chosen_TK, int64_t experts, int64_t multiple, Order order) {
  const int64_t pairs = chosen_TK.numel(), capacity = pairs + experts * (multiple - 1);
  Sorted sorted{unwritten({experts + 1}, at::kInt), unwritten({capacity}, at::kInt),
                unwritten(chosen_TK.sizes(), at::kInt)};
  const at::Tensor workspace = unwritten({sort_workspace(pairs, experts)}, at::kInt);
  SortByExpert a;
  a.chosen = chosen_TK.const_data_ptr<int64_t>();
  a.pairs = pairs;
  a.per_token = chosen_TK.size(1);
  a.experts = experts;
  a.multiple = multiple;
  a.capacity = capacity;
  a.offsets = sorted.offsets.mutable_data_ptr<int32_t>();
  a.token_of_row = sorted.token_of_row.mutable_data_ptr<int32_t>();
  a.row_of_pair = sorted.row_of_pair.mutable_data_ptr<int32_t>();
  a.workspace = workspace.mutable_data_ptr<int32_t>();
  EXPECT_EQ(host_kernels(order).sort_by_expert(a, nullptr), nullptr);
  return sorted;
}

// What a stable sort says.
Sorted sorted_by_aten(const at::Tensor& chosen_TK, int64_t experts, int64_t multiple) {
  const int64_t pairs = chosen_TK.numel(), per_token = chosen_TK.size(1);
  Sorted wanted{at::zeros({experts + 1}, at::kInt), at::zeros({pairs + experts * (multiple - 1)}, at::kInt),
                at::full({pairs}, -1, at::kInt)};
  const at::Tensor flat = chosen_TK.flatten();
  for (int64_t e = 0; e < experts; ++e) {
    const at::Tensor own = flat.eq(e).nonzero().flatten().to(at::kInt);
    const int64_t begin = wanted.offsets[e].item<int32_t>(), count = own.numel();
    wanted.offsets[e + 1] = begin + (count + multiple - 1) / multiple * multiple;
    wanted.token_of_row.narrow(0, begin, count).copy_(own.floor_divide(per_token));
    wanted.row_of_pair.index_copy_(0, own.to(at::kLong), at::arange(begin, begin + count, at::kInt));
  }
  wanted.row_of_pair = wanted.row_of_pair.view(chosen_TK.sizes());
  return wanted;
}

void expect_sorted(const at::Tensor& chosen_TK, int64_t experts, int64_t multiple) {
  const Sorted wanted = sorted_by_aten(chosen_TK, experts, multiple);
  for (const Order order : {Order::kForwards, Order::kBackwards}) {
    const Sorted found = sort(chosen_TK, experts, multiple, order);
    EXPECT_TRUE(at::equal(found.offsets, wanted.offsets));
    EXPECT_TRUE(at::equal(found.token_of_row, wanted.token_of_row));
    EXPECT_TRUE(at::equal(found.row_of_pair, wanted.row_of_pair));
  }
}

TEST(CudaMoe, SortIsStableOverManyShapes) {
  at::manual_seed(1);
  for (const int64_t tokens : {0, 1, 3, 85, 86, 300, 700}) {
    for (const int64_t experts : {1, 3, 8, 64, 257, 600}) {
      const int64_t per_token = std::min<int64_t>(3, experts);
      for (const int64_t multiple : {1, 8, 16}) {
        const at::Tensor chosen = at::randint(experts, {tokens, per_token}, at::kLong);
        SCOPED_TRACE(testing::Message() << tokens << " tokens, " << experts << " experts, multiple " << multiple);
        expect_sorted(chosen, experts, multiple);
      }
    }
  }
}

TEST(CudaMoe, SortWithAllTokensAtOneExpert) { expect_sorted(at::full({400, 1}, 4, at::kLong), 6, 1); }

TEST(CudaMoe, SortLeavesOutPairsWithoutAnExpert) {
  const at::Tensor chosen = at::tensor(std::vector<int64_t>{2, -1, 7, 0, 3, 2, int64_t{1} << 40, 2}).view({4, 2});
  expect_sorted(chosen, 3, 1);
  expect_sorted(chosen, 3, 8);
}

TEST(CudaMoe, SortRefusesWhatDoesNotFit) {
  SortByExpert a;
  a.pairs = 10;
  a.experts = 4;
  a.multiple = 8;
  a.capacity = 37;
  EXPECT_NE(host_kernels().sort_by_expert(a, nullptr), nullptr);
  a.experts = kMostExperts + 1;
  EXPECT_NE(host_kernels().sort_by_expert(a, nullptr), nullptr);
}

at::Tensor gather(const at::Tensor& x, const at::Tensor& row_of, Type type, Order order) {
  at::Tensor out = unwritten({row_of.size(0), x.size(1)}, x.scalar_type());
  GatherRows a;
  a.type = type;
  a.x = x.const_data_ptr();
  a.x_stride = x.stride(0);
  a.x_rows = x.size(0);
  a.row_of = row_of.const_data_ptr<int32_t>();
  a.rows = row_of.size(0);
  a.size = x.size(1);
  a.out = out.mutable_data_ptr();
  EXPECT_EQ(host_kernels(order).gather_rows(a, nullptr), nullptr);
  return out;
}

TEST(CudaMoe, GatherIsACopyOfRows) {
  at::manual_seed(2);
  for (const Precision& p : kPrecisions) {
    for (const int64_t size : {1, 7, 8, 64, 130, 1032}) {
      for (const int64_t gap : {0, 3, 8}) {
        for (const int64_t offset : {0, 1}) {
          const at::Tensor x = rows_with_gaps(at::randn({9, size}), p.dtype, gap, offset);
          const at::Tensor rows = at::randint(9, {21}, at::kInt);
          const at::Tensor wanted = x.index_select(0, rows);
          EXPECT_TRUE(at::equal(gather(x, rows, p.type, Order::kForwards), wanted)) << size << " " << gap;
          EXPECT_TRUE(at::equal(gather(x, rows, p.type, Order::kBackwards), wanted)) << size << " " << gap;
        }
      }
    }
    const at::Tensor x = at::randn({2, 5}).to(p.dtype);
    const at::Tensor outside = gather(x, at::tensor(std::vector<int32_t>{-1, 1, 2}), p.type, Order::kForwards);
    EXPECT_TRUE(at::equal(outside, at::stack({at::zeros_like(x[0]), x[1], at::zeros_like(x[0])})));
  }
}

// A random choice of distinct rows of `rows` for each token, -1 for one of them.
at::Tensor distinct_rows(int64_t tokens, int64_t count, int64_t rows) {
  return at::randperm(rows, at::kLong).narrow(0, 0, tokens * count).to(at::kInt).view({tokens, count});
}

at::Tensor sum(const at::Tensor& y, const at::Tensor& weights, const at::Tensor& rows, Type type, Order order) {
  at::Tensor out = unwritten({rows.size(0), y.size(1)}, y.scalar_type());
  SumRows a;
  a.type = type;
  a.y = y.const_data_ptr();
  a.y_stride = y.stride(0);
  a.y_rows = y.size(0);
  a.rows_of = rows.const_data_ptr<int32_t>();
  a.weights = weights.defined() ? weights.const_data_ptr<float>() : nullptr;
  a.tokens = rows.size(0);
  a.count = rows.size(1);
  a.size = y.size(1);
  a.out = out.mutable_data_ptr();
  EXPECT_EQ(host_kernels(order).sum_rows(a, nullptr), nullptr);
  return out;
}

struct Gradients {
  at::Tensor dy, dweights;
};

Gradients sum_backward(const at::Tensor& dout, const at::Tensor& y, const at::Tensor& weights, const at::Tensor& rows,
                       Type type, bool weights_wanted, Order order) {
  Gradients result{at::zeros({y.size(0), y.size(1)}, y.scalar_type()), unwritten(weights.sizes(), at::kFloat)};
  SumRowsBackward a;
  a.type = type;
  a.dout = dout.const_data_ptr();
  a.dout_stride = dout.stride(0);
  a.y = weights_wanted ? y.const_data_ptr() : nullptr;
  a.y_stride = y.stride(0);
  a.y_rows = y.size(0);
  a.rows_of = rows.const_data_ptr<int32_t>();
  a.weights = weights.const_data_ptr<float>();
  a.tokens = rows.size(0);
  a.count = rows.size(1);
  a.size = y.size(1);
  a.dy = result.dy.mutable_data_ptr();
  a.dweights = weights_wanted ? result.dweights.mutable_data_ptr<float>() : nullptr;
  EXPECT_EQ(host_kernels(order).sum_rows_backward(a, nullptr), nullptr);
  return result;
}

// The same in double, with the rows of -1 left out.
at::Tensor sum_in_double(const at::Tensor& y, const at::Tensor& weights, const at::Tensor& rows) {
  const at::Tensor there = rows.ge(0).to(at::kDouble).unsqueeze(2);
  const at::Tensor pairs = y.index_select(0, rows.clamp_min(0).flatten()).unflatten(0, rows.sizes()) * there;
  return (weights.defined() ? pairs * weights.unsqueeze(2) : pairs).sum(1);
}

TEST(CudaMoe, SumAndItsGradientsAgreeWithAten) {
  at::manual_seed(3);
  for (const Precision& p : kPrecisions) {
    for (const int64_t size : {1, 6, 8, 72, 1040}) {
      for (const auto& [tokens, count] : {std::pair<int64_t, int64_t>{1, 1}, {1, 6}, {13, 3}}) {
        for (const int64_t gap : {0, 1, 8}) {
          const at::Tensor rows = distinct_rows(tokens, count, tokens * count + 4);
          if (tokens > 1) rows[1][0] = -1;
          const at::Tensor y = rows_with_gaps(at::randn({tokens * count + 4, size}), p.dtype, gap);
          const at::Tensor dout = rows_with_gaps(at::randn({tokens, size}), p.dtype, gap);
          const at::Tensor weights = at::rand({tokens, count});
          at::Tensor y_double = y.to(at::kDouble).detach().requires_grad_(true);
          at::Tensor w_double = weights.to(at::kDouble).detach().requires_grad_(true);
          const at::Tensor wanted = sum_in_double(y_double, w_double, rows);
          wanted.backward(dout.to(at::kDouble));
          SCOPED_TRACE(testing::Message() << tokens << " x " << count << ", size " << size << ", gap " << gap);
          const double tolerance = p.tolerance * static_cast<double>(count + 2);
          const at::Tensor found = sum(y, weights, rows, p.type, Order::kForwards);
          EXPECT_LT(difference(found, wanted), tolerance);
          EXPECT_LT(difference(sum(y, {}, rows, p.type, Order::kForwards), sum_in_double(y.to(at::kDouble), {}, rows)),
                    tolerance);
          const Gradients back = sum_backward(dout, y, weights, rows, p.type, true, Order::kForwards);
          EXPECT_LT(difference(back.dy, y_double.grad()), tolerance);
          // Products of numbers that are given exactly, added up in float32.
          EXPECT_LT(difference(back.dweights, w_double.grad()), 1e-6 * static_cast<double>(size + 10));
          // The order of threads and blocks changes no bit.
          EXPECT_TRUE(same_bits(sum(y, weights, rows, p.type, Order::kBackwards), found));
          const Gradients again = sum_backward(dout, y, weights, rows, p.type, true, Order::kBackwards);
          EXPECT_TRUE(same_bits(again.dy, back.dy) && same_bits(again.dweights, back.dweights));
          EXPECT_TRUE(same_bits(sum_backward(dout, y, weights, rows, p.type, false, Order::kForwards).dy, back.dy));
        }
      }
    }
  }
}

// Linear in y and in the weights: a difference quotient over any step is the derivative, up to rounding.
TEST(CudaMoe, GradientsAreDifferenceQuotients) {
  at::manual_seed(4);
  const int64_t tokens = 4, count = 2, size = 5;
  const at::Tensor rows = distinct_rows(tokens, count, 11), y = at::randn({11, size});
  const at::Tensor weights = at::rand({tokens, count}), dout = at::randn({tokens, size});
  const auto loss = [&](const at::Tensor& y_now, const at::Tensor& w_now) {
    return (sum(y_now, w_now, rows, Type::kFloat32, Order::kForwards).to(at::kDouble) * dout).sum().item<double>();
  };
  const Gradients back = sum_backward(dout, y, weights, rows, Type::kFloat32, true, Order::kForwards);
  const auto check = [&](const at::Tensor& at_, const at::Tensor& gradient, const std::function<double()>& value) {
    for (int64_t i = 0; i < at_.numel(); ++i) {
      float& number = at_.mutable_data_ptr<float>()[i];
      const float before = number;
      number = before + 0.5F;
      const double above = value();
      number = before - 0.5F;
      const double below = value();
      number = before;
      EXPECT_NEAR(gradient.flatten()[i].item<double>(), above - below, 1e-5) << i;
    }
  };
  check(y, back.dy, [&] { return loss(y, weights); });
  check(weights, back.dweights, [&] { return loss(y, weights); });
}

TEST(CudaMoe, LaunchesRefuseBadSizes) {
  GatherRows gather;
  gather.rows = 1;
  gather.size = 8;
  gather.x_rows = 2;
  gather.x_stride = 7;
  EXPECT_NE(host_kernels().gather_rows(gather, nullptr), nullptr);
  SumRows sum;
  sum.tokens = -1;
  EXPECT_NE(host_kernels().sum_rows(sum, nullptr), nullptr);
  SumRowsBackward back;
  back.tokens = 1;
  EXPECT_NE(host_kernels().sum_rows_backward(back, nullptr), nullptr);
  sum.tokens = sum.size = 1;
  sum.type = static_cast<Type>(9);
  EXPECT_STREQ(host_kernels().sum_rows(sum, nullptr), "sum_rows: unknown type");
}

}  // namespace
}  // namespace masbak::models::cuda

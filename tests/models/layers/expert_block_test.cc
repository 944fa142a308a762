// Routed experts against ATen's operators in double precision: values, and the gradients of tokens and weights.
#include "models/layers/expert_block.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "models/layers/grouped_linear.h"

namespace masbak::models {
namespace {

double difference(const at::Tensor& a, const at::Tensor& b) {
  if (a.numel() == 0) return 0;
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

struct Precision {
  at::ScalarType type;
  double tolerance;
};
const Precision kPrecisions[] = {{at::kDouble, 1e-10}, {at::kFloat, 5e-5}, {at::kBFloat16, 0.05}};

struct Shape {
  int64_t tokens, hidden, inner, experts, per_token;
};

// Each token by itself, in the order of its experts.
at::Tensor plain_experts(const at::Tensor& x_TD, const at::Tensor& weights_TK, const at::Tensor& chosen_TK,
                         const at::Tensor& gate_up_E2ID, const at::Tensor& down_EDI) {
  at::Tensor sum_TD = at::zeros_like(x_TD);
  for (int64_t k = 0; k < chosen_TK.size(1); ++k) {
    const at::Tensor expert_T = chosen_TK.select(1, k);
    const at::Tensor both = at::bmm(gate_up_E2ID.index_select(0, expert_T), x_TD.unsqueeze(2)).squeeze(2);
    const std::vector<at::Tensor> halves = both.chunk(2, 1);
    const at::Tensor inner = (at::silu(halves[0]) * halves[1]).unsqueeze(2);
    const at::Tensor outer = at::bmm(down_EDI.index_select(0, expert_T), inner).squeeze(2);
    sum_TD = sum_TD + outer * weights_TK.select(1, k).unsqueeze(1);
  }
  return sum_TD;
}

void compare(const Shape& shape, const at::Tensor& chosen_TK, const Precision& precision) {
  const auto [tokens, hidden, inner, experts, per_token] = shape;
  const at::ScalarType weight_type = precision.type == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor gate_up = (at::randn({experts, 2 * inner, hidden}) * 0.4).to(precision.type);
  const at::Tensor down = (at::randn({experts, hidden, inner}) * 0.4).to(precision.type);
  const at::Tensor weights = at::rand({tokens, per_token}, weight_type);
  // A view whose rows do not lie one after another.
  at::Tensor x = at::randn({tokens, hidden + 3}).to(precision.type).requires_grad_();
  at::Tensor w = weights.clone().requires_grad_();
  at::Tensor exact_x = x.detach().to(at::kDouble).requires_grad_();
  at::Tensor exact_w = weights.to(at::kDouble).requires_grad_();

  const at::Tensor found = expert_block(x.narrow(1, 2, hidden), w, sort_by_expert(chosen_TK, experts, true),
                                        make_expert_projection(gate_up), make_expert_projection(down));
  const at::Tensor wanted =
      plain_experts(exact_x.narrow(1, 2, hidden), exact_w, chosen_TK, gate_up.to(at::kDouble), down.to(at::kDouble));
  const auto bound = [&](const at::Tensor& exact) {
    return precision.tolerance * (1 + exact.abs().max().item<double>());
  };
  EXPECT_LT(difference(found, wanted), bound(wanted));
  const at::Tensor direction = at::randn({tokens, hidden}).to(precision.type);
  found.backward(direction);
  wanted.backward(direction.to(at::kDouble));
  EXPECT_LT(difference(x.grad(), exact_x.grad()), bound(exact_x.grad()));
  EXPECT_LT(difference(w.grad(), exact_w.grad()), bound(exact_w.grad()));
}

TEST(ExpertBlock, AgreesWithEachTokenByItself) {
  at::manual_seed(5);
  for (const Precision& precision : kPrecisions) {
    for (const Shape& shape : {Shape{1, 1, 1, 1, 1}, Shape{1, 7, 3, 5, 2}, Shape{13, 33, 17, 7, 3},
                               Shape{40, 64, 48, 4, 2}, Shape{301, 10, 5, 2, 1}, Shape{9, 16, 31, 64, 4}}) {
      const at::Tensor chosen =
          at::argsort(at::rand({shape.tokens, shape.experts}), int64_t{1}, false).narrow(1, 0, shape.per_token);
      compare(shape, chosen, precision);
    }
  }
}

TEST(ExpertBlock, EveryTokenMayChooseOneExpert) {
  for (const Precision& precision : kPrecisions) {
    compare({20, 12, 9, 6, 1}, at::full({20, 1}, 4, at::kLong), precision);
  }
}

// What fills an expert's rows up counts for nothing, and double-precision differences of the loss say the same.
TEST(ExpertBlock, GradientIsThatOfDifferences) {
  const int64_t tokens = 210, hidden = 6, inner = 4, experts = 2;
  const at::Tensor chosen = at::randint(0, experts, {tokens, 1}, at::kLong);
  const ExpertOrder order = sort_by_expert(chosen, experts, true);
  EXPECT_GT(order.offsets.back(), tokens);
  const auto gate_up = make_expert_projection(at::randn({experts, 2 * inner, hidden}, at::kDouble));
  const auto down = make_expert_projection(at::randn({experts, hidden, inner}, at::kDouble));
  at::Tensor x = at::randn({tokens, hidden}, at::kDouble).requires_grad_();
  at::Tensor w = at::rand({tokens, 1}, at::kDouble).requires_grad_();
  const at::Tensor direction = at::randn({tokens, hidden}, at::kDouble);
  const auto loss = [&](const at::Tensor& tokens_TD, const at::Tensor& weights_TK) {
    return (expert_block(tokens_TD, weights_TK, order, gate_up, down) * direction).sum();
  };
  loss(x, w).backward();
  const double step = 1e-6;
  for (const auto& [row, column] : {std::pair<int64_t, int64_t>{0, 0}, {77, 3}, {209, 5}}) {
    at::Tensor nudge = at::zeros_like(x.detach());
    nudge[row][column] = step;
    const double slope = (loss(x.detach() + nudge, w.detach()) - loss(x.detach() - nudge, w.detach())).item<double>();
    EXPECT_NEAR(x.grad()[row][column].item<double>(), slope / (2 * step), 1e-6);
    at::Tensor nudge_w = at::zeros_like(w.detach());
    nudge_w[row][0] = step;
    const double by_w =
        (loss(x.detach(), w.detach() + nudge_w) - loss(x.detach(), w.detach() - nudge_w)).item<double>();
    EXPECT_NEAR(w.grad()[row][0].item<double>(), by_w / (2 * step), 1e-6);
  }
}

TEST(ExpertBlock, KeepsNothingWithoutAGradient) {
  const at::Tensor x = at::randn({5, 4});
  const at::Tensor chosen = at::zeros({5, 1}, at::kLong), weights = at::ones({5, 1});
  const auto gate_up = make_expert_projection(at::randn({2, 6, 4})),
             down = make_expert_projection(at::randn({2, 4, 3}));
  EXPECT_FALSE(expert_block(x, weights, sort_by_expert(chosen, 2, true), gate_up, down).requires_grad());
}

TEST(ExpertOrder, IsStableAndWhole) {
  const at::Tensor chosen = at::tensor({2, 0, 2, 5, 0, 2}, at::kLong).view({3, 2});
  const ExpertOrder order = sort_by_expert(chosen, 6, true);
  EXPECT_EQ(order.offsets, (std::vector<int64_t>{0, 2, 2, 5, 5, 5, 6}));
  const int32_t tokens[] = {0, 2, 0, 1, 2, 1}, rows[] = {2, 0, 3, 5, 1, 4};
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(order.token_of_row_N[i].item<int32_t>(), tokens[i]);
    EXPECT_EQ(order.row_of_pair_TK.flatten()[i].item<int32_t>(), rows[i]);
  }
}

TEST(ExpertOrder, FillsManyRowsUpToAMultiple) {
  const ExpertOrder order = sort_by_expert(at::randint(0, 2, {301, 1}, at::kLong), 2, true);
  EXPECT_GT(order.offsets.back(), 301);
  for (int64_t offset : order.offsets) EXPECT_EQ(offset % 16, 0);
  EXPECT_EQ(sort_by_expert(at::randint(0, 2, {301, 1}, at::kLong), 2, false).offsets.back(), 301);
}

// More groups than are multiplied one by one: each thread takes its own. Some are empty.
std::vector<int64_t> many_groups() {
  std::vector<int64_t> offsets = {0};
  for (int64_t e = 0; e < 70; ++e) offsets.push_back(offsets.back() + e * 5 % 7);
  return offsets;
}

TEST(GroupedProducts, AgreeWithAProductAGroup) {
  for (const Precision& p : kPrecisions) {
    for (const std::vector<int64_t>& offsets :
         {std::vector<int64_t>{0, 3, 3, 10, 11}, {0, 0, 0, 0, 5}, {0, 0, 0, 0, 0}, many_groups()}) {
      const int64_t groups = static_cast<int64_t>(offsets.size()) - 1;
      const at::Tensor x = at::randn({offsets.back(), 12}).to(p.type), y = at::randn({offsets.back(), 9}).to(p.type);
      const at::Tensor w = (at::randn({groups, 12, 9}) * 0.3).to(p.type).transpose(1, 2);
      const at::Tensor product = grouped_product(x, w, offsets), outer = grouped_outer(y, x, offsets);
      const at::Tensor a = at::randn({groups, 3, 12}).to(p.type), b = at::randn({groups, 9, 3}).to(p.type);
      const ChangedProduct changed = grouped_changed_product(x, w, a, b, 0.3, offsets);
      at::Tensor sum = y.clone();
      add_grouped_product(sum, x, w, -0.7, offsets);
      for (int64_t e = 0; e < groups; ++e) {
        const auto rows = [&](const at::Tensor& t) {
          return t.narrow(0, offsets[e], offsets[e + 1] - offsets[e]).to(at::kDouble);
        };
        const at::Tensor exact = at::mm(rows(x), w[e].to(at::kDouble).t());
        EXPECT_LT(difference(rows(product), exact), p.tolerance * 2);
        EXPECT_LT(difference(rows(sum), rows(y) - 0.7 * exact), p.tolerance * 2);
        EXPECT_LT(difference(outer[e], at::mm(rows(y).t(), rows(x))), p.tolerance * 2);
        const at::Tensor exact_h = 0.3 * at::mm(rows(x), a[e].to(at::kDouble).t());
        EXPECT_LT(difference(rows(changed.h_TR), exact_h), p.tolerance * 2);
        EXPECT_LT(difference(rows(changed.y_TO), exact + at::mm(exact_h, b[e].to(at::kDouble).t())), p.tolerance * 3);
      }
    }
  }
}

TEST(GroupedProducts, DoNotDependOnThreads) {
  const int threads = at::get_num_threads();
  const at::Tensor rows = at::randn({many_groups().back(), 33}), w = at::randn({70, 16, 33});
  at::set_num_threads(1);
  const at::Tensor one = grouped_product(rows, w, many_groups());
  at::set_num_threads(3);
  const at::Tensor three = grouped_product(rows, w, many_groups());
  at::set_num_threads(threads);
  EXPECT_LT(difference(one, three), 1e-5);
}

}  // namespace
}  // namespace masbak::models

// Packed latent attention against the formula in double precision: values and gradients, several segments of
// unlike lengths, unlike sizes of queries and values.
#include "models/layers/packed_attention.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

namespace masbak::models {
namespace {

constexpr int64_t kHeads = 3, kNope = 7, kRope = 4;

at::Tensor plain(const at::Tensor& q, const at::Tensor& kv, const at::Tensor& shared, int64_t value, double scale,
                 const std::vector<Segment>& segments) {
  std::vector<at::Tensor> outputs;
  for (const Segment& s : segments) {
    const at::Tensor own = kv.narrow(0, s.begin, s.length);
    const at::Tensor rope = shared.narrow(0, s.begin, s.length).unsqueeze(1).expand({s.length, kHeads, kRope});
    const at::Tensor k = at::cat({own.narrow(2, 0, kNope), rope}, 2).transpose(0, 1);
    const at::Tensor scores = at::matmul(q.narrow(0, s.begin, s.length).transpose(0, 1), k.transpose(1, 2)) * scale;
    const at::Tensor hidden = at::ones({s.length, s.length}, at::kBool).triu(1);
    const at::Tensor weights = at::softmax(scores.masked_fill(hidden, -INFINITY), -1);
    outputs.push_back(at::matmul(weights, own.narrow(2, kNope, value).transpose(0, 1)).transpose(0, 1).flatten(1));
  }
  return at::cat(outputs);
}

std::vector<Segment> segments_of(const std::vector<int64_t>& lengths) {
  std::vector<Segment> segments;
  int64_t begin = 0;
  for (int64_t length : lengths) {
    segments.push_back({begin, length, 0, nullptr});
    begin += length;
  }
  return segments;
}

void compare(const std::vector<int64_t>& lengths, int64_t value, at::ScalarType type, double tolerance) {
  const std::vector<Segment> segments = segments_of(lengths);
  const int64_t tokens = segments.back().begin + segments.back().length;
  const std::vector<at::Tensor> inputs = {at::randn({tokens, kHeads, kNope + kRope}).to(type),
                                          at::randn({tokens, kHeads, kNope + value}).to(type),
                                          at::randn({tokens, kRope}).to(type)};
  std::vector<at::Tensor> low, high;
  for (const at::Tensor& input : inputs) {
    low.push_back(input.clone().requires_grad_(true));
    high.push_back(input.to(at::kDouble).clone().requires_grad_(true));
  }
  const at::Tensor found = packed_latent_attention(low[0], low[1], low[2], value, 0.4, segments);
  const at::Tensor wanted = plain(high[0], high[1], high[2], value, 0.4, segments);
  const at::Tensor direction = at::randn(wanted.sizes()).to(type);
  found.backward(direction);
  wanted.backward(direction.to(at::kDouble));
  EXPECT_LT((found.to(at::kDouble) - wanted).abs().max().item<double>(), tolerance);
  for (size_t i = 0; i < low.size(); ++i) {
    const double worst = (low[i].grad().to(at::kDouble) - high[i].grad()).abs().max().item<double>();
    EXPECT_LT(worst, tolerance * (1 + high[i].grad().abs().max().item<double>())) << "input " << i;
  }
}

TEST(PackedAttention, AgreesWithTheFormula) {
  const std::vector<std::vector<int64_t>> layouts = {{1}, {5}, {32}, {33, 1, 31, 64, 70}, {200, 3}};
  for (const std::vector<int64_t>& lengths : layouts) {
    for (int64_t value : {5, 20}) {
      compare(lengths, value, at::kDouble, 1e-10);
      compare(lengths, value, at::kFloat, 3e-5);
      compare(lengths, value, at::kBFloat16, 0.05);
    }
  }
}

// Long enough that the queries go in several blocks, around the sizes of these.
TEST(PackedAttention, ManyBlocks) {
  compare({2900, 40}, 6, at::kDouble, 1e-9);
  compare({2900}, 6, at::kFloat, 1e-4);
  for (const int64_t length : {191, 192, 193, 239, 241, 383, 385, 577, 600}) {
    compare({length}, 6, at::kDouble, 1e-9);
    compare({length}, 6, at::kBFloat16, 0.05);
  }
}

// Weights are kept of the first, not of the second.
TEST(PackedAttention, ShortAndLongSegmentsTogether) {
  EXPECT_GT(kept_weights(1024), 1024 * 1024 / 2);
  EXPECT_LT(kept_weights(1024), 1024 * 1024 * 2 / 3);
  EXPECT_EQ(kept_weights(1025), 0);
  compare({1024, 1025, 3}, 6, at::kDouble, 1e-9);
  compare({1024, 1025, 3}, 6, at::kFloat, 1e-4);
  compare({1023, 1027}, 6, at::kBFloat16, 0.05);
}

TEST(PackedAttention, IsTheSameTwice) {
  const std::vector<Segment> segments = segments_of({50, 20});
  at::manual_seed(1);
  const at::Tensor q = at::randn({70, kHeads, kNope + kRope}), kv = at::randn({70, kHeads, kNope + 8});
  const at::Tensor shared = at::randn({70, kRope});
  const at::Tensor once = packed_latent_attention(q, kv, shared, 8, 0.3, segments);
  EXPECT_TRUE(once.equal(packed_latent_attention(q, kv, shared, 8, 0.3, segments)));
}

}  // namespace
}  // namespace masbak::models

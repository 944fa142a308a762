#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "trainer/data/dataset.h"

namespace masbak::trainer {
namespace {

std::vector<TokenSequence> of_lengths(const std::vector<size_t>& lengths) {
  std::vector<TokenSequence> examples;
  for (const size_t length : lengths) {
    examples.push_back({std::vector<int32_t>(length, 1), std::vector<int32_t>(length, 1), 0});
  }
  return examples;
}

TEST(EpochOrder, IsAPermutationFixedBySeedAndEpoch) {
  std::vector<int64_t> sorted(100);
  std::iota(sorted.begin(), sorted.end(), 0);
  EXPECT_EQ(epoch_order(100, false, 1, 1), sorted);
  std::set<std::vector<int64_t>> orders;
  for (uint64_t seed = 0; seed < 4; ++seed) {
    for (int64_t epoch = 0; epoch < 4; ++epoch) {
      std::vector<int64_t> order = epoch_order(100, true, seed, epoch);
      EXPECT_EQ(order, epoch_order(100, true, seed, epoch));
      orders.insert(order);
      std::sort(order.begin(), order.end());
      EXPECT_EQ(order, sorted);
    }
  }
  EXPECT_EQ(orders.size(), 16u);
  EXPECT_TRUE(epoch_order(0, true, 0, 0).empty());
}

TEST(EpochOrder, EveryPlaceIsAsLikely) {
  std::vector<int> first(5, 0);
  for (int64_t epoch = 0; epoch < 5000; ++epoch) ++first[static_cast<size_t>(epoch_order(5, true, 3, epoch)[0])];
  for (const int count : first) EXPECT_NEAR(count, 1000, 150);
}

// An order that a run of today fixes must be the order of a run resumed by a later version.
TEST(EpochOrder, StaysTheSameFromVersionToVersion) {
  EXPECT_EQ(epoch_order(8, true, 0, 0), (std::vector<int64_t>{6, 0, 4, 3, 7, 2, 5, 1}));
  EXPECT_EQ(epoch_order(8, true, 7, 2), (std::vector<int64_t>{3, 5, 2, 4, 6, 7, 0, 1}));
}

TEST(PackRows, WithoutPackingEachExampleIsARow) {
  const auto rows = pack_rows(of_lengths({3, 1, 2}), {2, 0, 1}, false, 10);
  EXPECT_EQ(rows, (std::vector<std::vector<int64_t>>{{2}, {0}, {1}}));
}

TEST(PackRows, BestFitFillsTheFullestRowThatHasRoom) {
  // 6 → row 0 (room 4); 5 → row 1 (room 5); 4 → row 0, the tighter fit; 5 → row 1; 10 → row 2; 1 → row 3.
  const auto rows = pack_rows(of_lengths({6, 5, 4, 5, 10, 1}), {0, 1, 2, 3, 4, 5}, true, 10);
  EXPECT_EQ(rows, (std::vector<std::vector<int64_t>>{{0, 2}, {1, 3}, {4}, {5}}));
}

TEST(PackRows, KeepsEveryExampleOnceAndWithinTheLimit) {
  std::vector<size_t> lengths;
  for (size_t i = 0; i < 500; ++i) lengths.push_back(1 + (i * 7919) % 97);
  const auto examples = of_lengths(lengths);
  const auto rows = pack_rows(examples, epoch_order(500, true, 1, 0), true, 128);
  std::set<int64_t> seen;
  size_t tokens = 0;
  for (const auto& row : rows) {
    size_t length = 0;
    for (const int64_t index : row) {
      EXPECT_TRUE(seen.insert(index).second);
      length += lengths[static_cast<size_t>(index)];
    }
    EXPECT_LE(length, 128u);
    tokens += length;
  }
  EXPECT_EQ(seen.size(), 500u);
  EXPECT_GT(static_cast<double>(tokens) / static_cast<double>(rows.size() * 128), 0.93);
}

}  // namespace
}  // namespace masbak::trainer

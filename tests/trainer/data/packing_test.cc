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
  std::vector<uint32_t> sorted(100);
  std::iota(sorted.begin(), sorted.end(), 0);
  EXPECT_EQ(epoch_order(100, false, 1, 1), sorted);
  std::set<std::vector<uint32_t>> orders;
  for (uint64_t seed = 0; seed < 4; ++seed) {
    for (int64_t epoch = 0; epoch < 4; ++epoch) {
      std::vector<uint32_t> order = epoch_order(100, true, seed, epoch);
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
  EXPECT_EQ(epoch_order(8, true, 0, 0), (std::vector<uint32_t>{6, 0, 4, 3, 7, 2, 5, 1}));
  EXPECT_EQ(epoch_order(8, true, 7, 2), (std::vector<uint32_t>{3, 5, 2, 4, 6, 7, 0, 1}));
}

using Rows = std::vector<std::vector<uint32_t>>;

Rows rows_of(const PackedRows& packed) {
  Rows rows;
  for (int64_t i = 0; i < packed.size(); ++i) {
    const auto place = static_cast<size_t>(i);
    rows.emplace_back(packed.examples.begin() + packed.begins[place],
                      packed.examples.begin() + packed.begins[place + 1]);
  }
  return rows;
}

TEST(PackRows, WithoutPackingEachExampleIsARow) {
  EXPECT_EQ(rows_of(pack_rows(of_lengths({3, 1, 2}), {2, 0, 1}, false, 10)), (Rows{{2}, {0}, {1}}));
}

TEST(PackRows, TheLongestComeFirstAndEachGoesWhereItFitsBest) {
  // 10; 6 → a row with room 4; 5 and 5 → a full row; 4 → the row of the 6; 3 → a row of its own; 1 → the row of the 3.
  // Rows come in the order of their longest examples: places 0 (6), 1 (5), 4 (10), 6 (3).
  EXPECT_EQ(rows_of(pack_rows(of_lengths({6, 5, 4, 5, 10, 1, 3}), {0, 1, 2, 3, 4, 5, 6}, true, 10)),
            (Rows{{0, 2}, {1, 3}, {4}, {6, 5}}));
  // In another order the same rows, told by their longest examples.
  EXPECT_EQ(rows_of(pack_rows(of_lengths({6, 5, 4, 5, 10, 1, 3}), {6, 5, 4, 3, 2, 1, 0}, true, 10)),
            (Rows{{6, 5}, {4}, {3, 1}, {0, 2}}));
}

TEST(PackRows, KeepsEveryExampleOnceAndWithinTheLimitAndFillsTheRows) {
  std::vector<size_t> lengths;
  for (size_t i = 0; i < 500; ++i) lengths.push_back(1 + (i * 7919) % 97);
  const Examples examples = of_lengths(lengths);
  std::set<int64_t> numbers;
  for (uint64_t seed = 0; seed < 3; ++seed) {
    const PackedRows packed = pack_rows(examples, epoch_order(500, true, seed, 0), true, 128);
    std::set<uint32_t> seen;
    size_t tokens = 0;
    for (const auto& row : rows_of(packed)) {
      size_t length = 0;
      for (const uint32_t index : row) {
        EXPECT_TRUE(seen.insert(index).second);
        length += lengths[index];
      }
      EXPECT_LE(length, 128u);
      tokens += length;
    }
    EXPECT_EQ(seen.size(), 500u);
    EXPECT_GT(static_cast<double>(tokens) / static_cast<double>(packed.size() * 128), 0.98);
    numbers.insert(packed.size());
  }
  EXPECT_EQ(numbers.size(), 1u) << "the number of rows depends on the order of the examples";
}

// The first half of an epoch must not hold the long examples and the second half the short ones.
TEST(PackRows, TheOrderOfRowsDoesNotDependOnTheLengths) {
  std::vector<size_t> lengths;
  for (size_t i = 0; i < 4000; ++i) lengths.push_back(1 + (i * 7919) % 97);
  const auto rows = rows_of(pack_rows(of_lengths(lengths), epoch_order(4000, true, 5, 1), true, 128));
  double halves[2] = {0, 0};
  for (size_t i = 0; i < rows.size(); ++i) halves[2 * i / rows.size()] += static_cast<double>(lengths[rows[i][0]]);
  EXPECT_NEAR(halves[0] / halves[1], 1.0, 0.05);
}

}  // namespace
}  // namespace masbak::trainer

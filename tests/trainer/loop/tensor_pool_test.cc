#include "trainer/loop/tensor_pool.h"

#include <gtest/gtest.h>

#include <barrier>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

namespace masbak::trainer {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

TEST(BlockPool, UsesAgainWhatWasGivenBack) {
  BlockPool pool;
  void* first = pool.take(40 * kMiB);
  ASSERT_NE(first, nullptr);
  EXPECT_TRUE(pool.give(first));
  EXPECT_EQ(pool.take(40 * kMiB), first);
  EXPECT_GE(pool.taken_bytes(), 40 * kMiB);
  EXPECT_LT(pool.taken_bytes(), 41 * kMiB);
  EXPECT_EQ(pool.system_bytes(), 64 * kMiB);
}

TEST(BlockPool, JoinsFreeNeighboursOnBothSides) {
  BlockPool pool;
  std::vector<void*> blocks;
  for (int i = 0; i < 4; ++i) blocks.push_back(pool.take(15 * kMiB));
  for (const int i : {0, 2, 1, 3}) EXPECT_TRUE(pool.give(blocks[static_cast<size_t>(i)]));
  ASSERT_NE(pool.take(63 * kMiB), nullptr);
  EXPECT_EQ(pool.system_bytes(), 64 * kMiB);
}

TEST(BlockPool, TakesTheUppermostRoomThatFits) {
  BlockPool pool;
  void* large = pool.take(8 * kMiB);
  pool.take(kMiB);
  void* small = pool.take(2 * kMiB);
  pool.take(kMiB);
  pool.give(small);
  pool.give(large);
  const auto* in_large = static_cast<char*>(pool.take(2 * kMiB));
  EXPECT_GE(in_large, static_cast<char*>(large) + 5 * kMiB);
  EXPECT_LE(in_large, static_cast<char*>(large) + 6 * kMiB);
  EXPECT_LT(pool.take(7 * kMiB), large);  // nothing above has so much
}

TEST(BlockPool, AddsUpWhatThreadsTookAtMost) {
  BlockPool pool;
  void* before = pool.take(3 * kMiB);
  pool.watch();
  std::barrier both(2);
  const auto work = [&] {
    void* block = pool.take(5 * kMiB);
    std::memset(block, 1, 5 * kMiB);
    both.arrive_and_wait();
    pool.give(block);
  };
  std::thread first(work), second(work);
  first.join();
  second.join();
  pool.give(before);
  EXPECT_NEAR(static_cast<double>(pool.watched_bytes()) / kMiB, 13, 0.1);
  EXPECT_NEAR(static_cast<double>(pool.resident_bytes()) / kMiB, 10, 0.1);  // of what nobody wrote to, nothing
}

TEST(BlockPool, KnowsItsOwn) {
  BlockPool pool;
  int other = 0;
  EXPECT_FALSE(pool.give(&other));
  void* block = pool.take(kMiB);
  EXPECT_TRUE(pool.give(block));
  EXPECT_FALSE(pool.give(block));
}

TEST(BlockPool, SaysSoWhenTheSystemHasNoMore) {
  BlockPool pool;
  EXPECT_EQ(pool.take(~size_t{0}), nullptr);
  EXPECT_EQ(pool.take(size_t{1} << 60), nullptr);
  EXPECT_EQ(pool.taken_bytes(), 0u);
}

// Blocks never overlap, whatever threads take and give in whatever order, and in the end all is one again.
TEST(BlockPool, KeepsBlocksApart) {
  BlockPool pool;
  const auto work = [&pool](unsigned seed) {
    std::mt19937 dice(seed);
    std::vector<std::pair<unsigned char*, size_t>> held;
    for (int i = 0; i < 2000; ++i) {
      if (held.size() < 20 && dice() % 2 == 0) {
        const size_t size = 1 + dice() % 200000;
        auto* block = static_cast<unsigned char*>(pool.take(size));
        std::memset(block, static_cast<int>(seed), size);
        held.emplace_back(block, size);
      } else if (!held.empty()) {
        const size_t which = dice() % held.size();
        const auto [block, size] = held[which];
        EXPECT_EQ(block[0], seed);
        EXPECT_EQ(block[size - 1], seed);
        EXPECT_TRUE(pool.give(block));
        held.erase(held.begin() + static_cast<std::ptrdiff_t>(which));
      }
    }
    for (const auto& [block, size] : held) pool.give(block);
  };
  std::vector<std::thread> threads;
  for (unsigned seed = 1; seed <= 4; ++seed) threads.emplace_back(work, seed);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(pool.taken_bytes(), 0u);
  EXPECT_LE(pool.system_bytes(), 64 * kMiB);
}

}  // namespace
}  // namespace masbak::trainer

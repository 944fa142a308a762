// The order of the examples and how they share the rows of a batch.
#include <map>
#include <numeric>

#include "trainer/data/dataset.h"

namespace masbak::trainer {
namespace {

// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014). Own code, since the
// distributions of <random> differ from one standard library to another and an order must not.
class SplitMix64 {
 public:
  explicit SplitMix64(uint64_t state) : state_(state) {}

  uint64_t next() {
    state_ += 0x9e3779b97f4a7c15ULL;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }

  // Evenly from [0, bound): numbers from the incomplete last block of 2^64 are drawn again.
  uint64_t below(uint64_t bound) {
    const uint64_t skipped = (0 - bound) % bound;
    uint64_t number = next();
    while (number < skipped) number = next();
    return number % bound;
  }

 private:
  uint64_t state_;
};

}  // namespace

std::vector<int64_t> epoch_order(int64_t examples, bool shuffle, uint64_t seed, int64_t epoch) {
  std::vector<int64_t> order(static_cast<size_t>(examples));
  std::iota(order.begin(), order.end(), 0);
  if (!shuffle) return order;
  // One after the other, so that (seed 1, epoch 2) is not (seed 2, epoch 1).
  SplitMix64 random(SplitMix64(SplitMix64(seed).next() + static_cast<uint64_t>(epoch)).next());
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  return order;
}

std::vector<std::vector<int64_t>> pack_rows(const Examples& examples, const std::vector<int64_t>& order, bool packing,
                                            int64_t max_length) {
  std::vector<std::vector<int64_t>> rows;
  // Free room → rows that have it, the oldest first (a multimap keeps the order of equal keys).
  std::multimap<int64_t, size_t> room;
  for (const int64_t index : order) {
    const int64_t length = examples.tokens(index);
    const auto best = packing ? room.lower_bound(length) : room.end();
    if (best == room.end()) {
      rows.push_back({index});
      if (packing && length < max_length) room.emplace(max_length - length, rows.size() - 1);
      continue;
    }
    const auto [free, row] = *best;
    rows[row].push_back(index);
    room.erase(best);
    if (free > length) room.emplace(free - length, row);
  }
  return rows;
}

}  // namespace masbak::trainer

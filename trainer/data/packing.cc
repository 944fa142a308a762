// The order of the examples and how they share the rows of a batch.
#include <algorithm>
#include <deque>
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

std::vector<uint32_t> epoch_order(int64_t examples, bool shuffle, uint64_t seed, int64_t epoch) {
  std::vector<uint32_t> order(static_cast<size_t>(examples));
  std::iota(order.begin(), order.end(), 0);
  if (!shuffle) return order;
  // One after the other, so that (seed 1, epoch 2) is not (seed 2, epoch 1).
  SplitMix64 random(SplitMix64(SplitMix64(seed).next() + static_cast<uint64_t>(epoch)).next());
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  return order;
}

PackedRows pack_rows(const Examples& examples, const std::vector<uint32_t>& order, bool packing, int64_t max_length) {
  PackedRows result;
  const size_t count = order.size();
  if (!packing) {
    result.examples = order;
    result.begins.resize(count + 1);
    std::iota(result.begins.begin(), result.begins.end(), 0);
    return result;
  }
  std::vector<uint32_t> lengths(count), by_length(count);
  for (size_t i = 0; i < count; ++i) lengths[i] = static_cast<uint32_t>(examples.tokens(order[i]));
  std::iota(by_length.begin(), by_length.end(), 0);
  std::stable_sort(by_length.begin(), by_length.end(), [&](uint32_t a, uint32_t b) { return lengths[a] > lengths[b]; });
  std::vector<uint32_t> row_of(count), openers;       // by place in `order`; by row
  std::map<int64_t, std::deque<uint32_t>> with_room;  // free room → its rows, the oldest first
  for (const uint32_t place : by_length) {
    const int64_t length = lengths[place];
    const auto best = with_room.lower_bound(length);
    uint32_t row = 0;
    int64_t room = max_length;
    if (best == with_room.end()) {
      row = static_cast<uint32_t>(openers.size());
      openers.push_back(place);
    } else {
      room = best->first;
      row = best->second.front();
      best->second.pop_front();
      if (best->second.empty()) with_room.erase(best);
    }
    row_of[place] = row;
    if (room > length) with_room[room - length].push_back(row);
  }
  // A row's turn comes when its longest example's would: the order stays that of the data, or as random as it.
  std::vector<uint32_t> turns(openers.size()), rank(openers.size());
  std::iota(turns.begin(), turns.end(), 0);
  std::sort(turns.begin(), turns.end(), [&](uint32_t a, uint32_t b) { return openers[a] < openers[b]; });
  for (size_t i = 0; i < turns.size(); ++i) rank[turns[i]] = static_cast<uint32_t>(i);
  result.begins.assign(openers.size() + 1, 0);
  for (const uint32_t row : row_of) ++result.begins[rank[row] + 1];
  std::partial_sum(result.begins.begin(), result.begins.end(), result.begins.begin());
  std::vector<uint32_t> next(result.begins.begin(), result.begins.end() - 1);
  result.examples.resize(count);
  for (const uint32_t place : by_length) result.examples[next[rank[row_of[place]]]++] = order[place];
  return result;
}

}  // namespace masbak::trainer

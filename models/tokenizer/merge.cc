#include "models/tokenizer/merge.h"

#include <algorithm>
#include <limits>
#include <queue>

namespace masbak::models {
namespace {

constexpr size_t kScanLimit = 48;
constexpr uint32_t kNoRank = std::numeric_limits<uint32_t>::max();

void merge_by_scan(const MergeTable& merges, std::vector<int32_t>& symbols) {
  uint32_t ranks[kScanLimit];
  int32_t merged[kScanLimit];
  size_t count = symbols.size();
  auto look = [&](size_t i) {
    const MergeTable::Merge* merge = i + 1 < count ? merges.find(symbols[i], symbols[i + 1]) : nullptr;
    ranks[i] = merge == nullptr ? kNoRank : merge->rank;
    merged[i] = merge == nullptr ? 0 : merge->id;
  };
  for (size_t i = 0; i < count; ++i) look(i);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (ranks[i] < ranks[best]) best = i;
    }
    if (ranks[best] == kNoRank) break;
    symbols[best] = merged[best];
    --count;
    for (size_t i = best + 1; i < count; ++i) {
      symbols[i] = symbols[i + 1];
      ranks[i] = ranks[i + 1];
      merged[i] = merged[i + 1];
    }
    look(best);
    if (best > 0) look(best - 1);
  }
  symbols.resize(count);
}

struct Candidate {
  uint32_t rank;
  uint32_t at;
  int32_t id;
  bool operator>(const Candidate& other) const { return rank != other.rank ? rank > other.rank : at > other.at; }
};

void merge_by_heap(const MergeTable& merges, std::vector<int32_t>& symbols) {
  const uint32_t count = static_cast<uint32_t>(symbols.size());
  std::vector<uint32_t> next(count), previous(count);
  std::vector<bool> gone(count, false);
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> heap;
  auto offer = [&](uint32_t at) {
    if (next[at] >= count) return;
    if (const auto* merge = merges.find(symbols[at], symbols[next[at]])) heap.push({merge->rank, at, merge->id});
  };
  for (uint32_t i = 0; i < count; ++i) {
    next[i] = i + 1;
    previous[i] = i - 1;  // wraps to a number past the end for the first
  }
  for (uint32_t i = 0; i + 1 < count; ++i) offer(i);
  while (!heap.empty()) {
    Candidate top = heap.top();
    heap.pop();
    if (gone[top.at] || next[top.at] >= count) continue;
    uint32_t right = next[top.at];
    const auto* merge = merges.find(symbols[top.at], symbols[right]);
    if (merge == nullptr || merge->id != top.id) continue;  // the pair has changed since it was offered
    symbols[top.at] = top.id;
    gone[right] = true;
    next[top.at] = next[right];
    if (next[right] < count) previous[next[right]] = top.at;
    if (previous[top.at] < count) offer(previous[top.at]);
    offer(top.at);
  }
  size_t kept = 0;
  for (uint32_t i = 0; i < count; ++i) {
    if (!gone[i]) symbols[kept++] = symbols[i];
  }
  symbols.resize(kept);
}

}  // namespace

void merge_symbols(const MergeTable& merges, std::vector<int32_t>& symbols) {
  if (symbols.size() < 2) return;
  if (symbols.size() <= kScanLimit) {
    merge_by_scan(merges, symbols);
  } else {
    merge_by_heap(merges, symbols);
  }
}

}  // namespace masbak::models

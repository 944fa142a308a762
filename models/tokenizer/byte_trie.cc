#include "models/tokenizer/byte_trie.h"

#include <algorithm>

namespace masbak::models {
namespace {

// Tries for a base before the arrays are simply lengthened: keeps building linear.
constexpr int kMostTries = 512;

struct Span {
  size_t first, last;  // keys [first, last) that share the first `depth` bytes
  size_t depth;
  uint32_t node;
};

}  // namespace

void ByteTrie::grow(size_t cells) {
  if (cells_.size() < cells) cells_.resize(std::max(cells, cells_.size() + cells_.size() / 2));
}

uint32_t ByteTrie::find_base(const std::vector<unsigned char>& bytes) {
  while (search_from_ < cells_.size() && cells_[search_from_].parent != kNone) ++search_from_;
  uint32_t at = search_from_ > bytes[0] + 1u ? search_from_ - bytes[0] - 1 : 0;
  for (int tries = 0;; ++tries, ++at) {
    if (tries == kMostTries) {
      // This region is full of holes that do not fit: leave it for good.
      at = static_cast<uint32_t>(cells_.size());
      search_from_ = at;
    }
    grow(at + 258);
    const bool free = std::all_of(bytes.begin(), bytes.end(),
                                  [&](unsigned char byte) { return cells_[at + byte + 1].parent == kNone; });
    if (free) return at;
  }
}

ByteTrie::ByteTrie(Keys keys) {
  std::stable_sort(keys.begin(), keys.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  grow(512);
  cells_[kRoot].parent = kRoot;  // taken, though no byte leads to it
  std::vector<Span> open{{0, keys.size(), 0, kRoot}};
  std::vector<unsigned char> bytes;
  std::vector<size_t> starts;
  while (!open.empty()) {
    Span span = open.back();
    open.pop_back();
    while (span.first < span.last && keys[span.first].first.size() == span.depth) {
      if (span.depth > 0) cells_[span.node].value = keys[span.first].second;
      ++span.first;
    }
    if (span.first == span.last) continue;
    bytes.clear();
    starts.clear();
    for (size_t i = span.first; i < span.last; ++i) {
      const unsigned char byte = static_cast<unsigned char>(keys[i].first[span.depth]);
      if (bytes.empty() || byte != bytes.back()) {
        bytes.push_back(byte);
        starts.push_back(i);
      }
    }
    starts.push_back(span.last);
    const uint32_t base = find_base(bytes);
    cells_[span.node].base = base;
    for (size_t i = 0; i < bytes.size(); ++i) cells_[base + bytes[i] + 1].parent = span.node;
    for (size_t i = 0; i < bytes.size(); ++i) {
      open.push_back({starts[i], starts[i + 1], span.depth + 1, base + bytes[i] + 1});
    }
  }
}

}  // namespace masbak::models

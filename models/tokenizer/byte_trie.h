// A trie over bytes in two flat arrays (a double array: Aoe 1989), for vocabularies.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace masbak::models {

class ByteTrie {
 public:
  static constexpr uint32_t kRoot = 0;
  static constexpr uint32_t kNone = ~0u;

  ByteTrie() = default;
  // Keys with their values (≥ 0). Of a repeated key the later value stays; the empty key is left out.
  explicit ByteTrie(std::vector<std::pair<std::string_view, int32_t>> keys);

  // The child of `node` for one byte, or kNone.
  uint32_t step(uint32_t node, unsigned char byte) const {
    if (cells_.empty()) return kNone;
    const uint32_t child = cells_[node].base + byte + 1;
    return child < cells_.size() && cells_[child].parent == node ? child : kNone;
  }
  uint32_t walk(uint32_t node, std::string_view text) const {
    for (size_t i = 0; i < text.size() && node != kNone; ++i) node = step(node, static_cast<unsigned char>(text[i]));
    return node;
  }
  // The value of the key that ends here, or -1.
  int32_t value(uint32_t node) const { return cells_[node].value; }

 private:
  struct Cell {
    uint32_t base = 0;
    uint32_t parent = kNone;
    int32_t value = -1;
  };
  using Keys = std::vector<std::pair<std::string_view, int32_t>>;

  uint32_t find_base(const std::vector<unsigned char>& bytes);
  void grow(size_t cells);

  std::vector<Cell> cells_;
  uint32_t search_from_ = 0;
};

}  // namespace masbak::models

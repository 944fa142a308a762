// The regular expressions that tokenizers cut words with, run without a regex engine: alternatives of sequences of
// repeated character classes. What it understands it matches exactly as Oniguruma does, several times faster.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "models/tokenizer/character_class.h"

namespace masbak::models {

class ClassPattern {
 public:
  // Null if the expression needs more than this: anchors, look-behind, lazy or nested repetition, back references,
  // an alternative that may be empty.
  static std::unique_ptr<const ClassPattern> compile(std::string_view oniguruma);

  // First match [begin, end) at or after `from`. RESOURCE_EXHAUSTED past a limit on backtracking. Thread-safe.
  std::optional<std::pair<size_t, size_t>> find(std::string_view subject, size_t from) const;

 private:
  friend class ClassPatternParser;
  static constexpr size_t kNoMatch = ~size_t{0};
  static constexpr int kAccept = -1;

  enum class Kind : uint8_t { kClass, kGroup, kAhead, kNotAhead };
  struct Node {
    Kind kind = Kind::kClass;
    uint32_t bit = 0;
    uint32_t min = 1, max = 1;
    bool possessive = false;
    int next = kAccept;
    std::vector<int> alternatives;  // of a group or a look-ahead: their first nodes
  };

  uint32_t mask_at(std::string_view subject, size_t& at) const;
  size_t match(std::string_view subject, int node, size_t at, uint64_t& steps) const;
  uint32_t mask_of(char32_t point) const;
  void fill_tables();
  uint32_t first_bits(int node) const;

  std::vector<Node> nodes_;
  std::vector<std::pair<int, uint32_t>> alternatives_;  // first node, and the classes that it can begin with
  uint32_t start_ = 0;                                  // classes that a match can begin with
  std::vector<CharacterClass> classes_;
  uint32_t ascii_[128];
  std::vector<uint16_t> page_;   // by code point / 256
  std::vector<uint32_t> masks_;  // by page and the rest
};

}  // namespace masbak::models

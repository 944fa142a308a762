// What tokenizers asks of a character, as its own Unicode tables answer.
#pragma once

#include <utf8proc.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "models/tokenizer/unicode_changes.h"

namespace masbak::models {

enum class CharacterSet : uint8_t {
  kNumeric,      // Digits
  kPunctuation,  // Punctuation, BertPreTokenizer
  kWord,         // \w of the regex crate: Whitespace, single_word
  kPatternWord,  // \w of Oniguruma: patterns
  kAccent,       // StripAccents
  kBertAccent,   // BertNormalizer
  kBertControl,  // BertNormalizer's clean_text
  kUnknownToPcre2,
};

// The table below holds these; beyond it lie only private use, tags and variation selectors.
constexpr char32_t kTabledPoints = 0x32400;

// Five bits of general category, and above them one for each CharacterSet.
uint16_t compute_properties(char32_t point);
const uint16_t* property_table();

inline uint16_t properties(char32_t point) {
  static const uint16_t* const table = property_table();
  return point < kTabledPoints ? table[point] : compute_properties(point);
}
inline utf8proc_category_t reference_category(char32_t point) {
  return static_cast<utf8proc_category_t>(properties(point) & 31);
}
inline bool is_in(CharacterSet set, char32_t point) { return properties(point) >> (5 + static_cast<int>(set)) & 1; }

// The tabled points at which properties change, the first of them 0.
const std::vector<char32_t>& property_edges();

// The full lower case of one character, without context.
void append_reference_lower(std::string& out, char32_t point);

// What a pattern is given in place of a character that is kUnknownToPcre2.
char32_t pattern_proxy(char32_t point);

bool contains(std::span<const CodeRange> ranges, char32_t point);

}  // namespace masbak::models

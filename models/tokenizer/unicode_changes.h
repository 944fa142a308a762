// Where the Unicode tables behind Hugging Face's tokenizers differ from those of utf8proc and PCRE2. The rows are
// written by tests/models/tokenizer/golden/make_unicode.py, which asks tokenizers about every code point.
#pragma once

#include <cstdint>
#include <span>

namespace masbak::models {

// Each inclusive at both ends, in ascending order.
struct CodeRange {
  char32_t first, last;
};
struct CategoryRange {
  char32_t first, last;
  uint8_t category;  // utf8proc_category_t
};
struct CasePair {
  char32_t upper, lower;
};
struct ProxyRange {
  char32_t first, last, proxy;
};

std::span<const CategoryRange> category_changes();
// Sets in which the reference and the general category disagree: a member of the range is in the set
// exactly if its category is not.
std::span<const CodeRange> numeric_changes();
std::span<const CodeRange> punctuation_changes();
std::span<const CodeRange> word_changes();
std::span<const CodeRange> pattern_word_changes();
std::span<const CodeRange> accent_changes();
std::span<const CodeRange> bert_accent_changes();
std::span<const CodeRange> bert_control_changes();
std::span<const CodeRange> joining_changes();
// Characters that stay whole in the reference's canonical (compatibility) decomposition.
std::span<const CodeRange> whole_characters();
std::span<const CodeRange> whole_compatible_characters();
// Marks that the reference takes for starters.
std::span<const CodeRange> starters();
std::span<const CasePair> lower_changes();
// For regular expressions: a character of the same length in UTF-8, category and script that PCRE2 knows.
std::span<const ProxyRange> pattern_proxies();

}  // namespace masbak::models

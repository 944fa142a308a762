// Sets of characters as Oniguruma writes them: [^\r\n\p{L}], [\p{Lu}\p{M}&&[^\p{Han}]], \s.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "models/tokenizer/unicode_properties.h"

namespace masbak::models {

class CharacterClass {
 public:
  // Each reads what stands at text[at] and moves `at` behind it. Nothing if it is beyond what is understood here.
  static std::optional<CharacterClass> read_class(std::string_view text, size_t& at);   // at '['
  static std::optional<CharacterClass> read_escape(std::string_view text, size_t& at);  // at '\\'
  static CharacterClass of(std::vector<CodeRange> ranges);
  static CharacterClass any_but_newline();

  bool contains(char32_t point) const;
  // Where membership may change other than with a character's properties.
  void append_edges(std::vector<char32_t>& edges) const;

 private:
  bool in_union(char32_t point) const;
  // Unions "part" with this class.
  void add(CharacterClass part);
  static std::optional<CharacterClass> read_items(std::string_view text, size_t& at);
  static std::optional<CharacterClass> read_property(std::string_view text, size_t& at, bool negated);

  bool negated_ = false;
  std::vector<CodeRange> ranges_;
  uint32_t categories_ = 0;  // a bit for each utf8proc_category_t
  std::vector<CharacterSet> sets_;
  std::vector<CharacterClass> parts_;    // united with the above
  std::vector<CharacterClass> besides_;  // which a member must be in, too (&&)
};

// One character written as \n, \x{41}, \u0041 or a backslash before a sign; nothing for other escapes.
std::optional<char32_t> read_escaped_character(std::string_view text, size_t& at);

}  // namespace masbak::models

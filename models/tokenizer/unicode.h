// UTF-8, and the Unicode properties that chat templates ask for (tokenizers: unicode_properties.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace masbak::models {

constexpr char32_t kReplacementCharacter = 0xFFFD;

// The code point that starts at text[at], which must be valid UTF-8; `at` moves past it.
inline char32_t next_code_point(std::string_view text, size_t& at) {
  unsigned char lead = static_cast<unsigned char>(text[at++]);
  if (lead < 0x80) return lead;
  auto tail = [&] { return static_cast<char32_t>(static_cast<unsigned char>(text[at++]) & 0x3F); };
  if (lead < 0xE0) {
    char32_t high = static_cast<char32_t>(lead & 0x1F) << 6;
    return high | tail();
  }
  char32_t point = lead < 0xF0 ? lead & 0x0F : lead & 0x07;
  for (int more = lead < 0xF0 ? 2 : 3; more > 0; --more) point = point << 6 | tail();
  return point;
}

// Start of the character that ends just before `at` (at > 0).
inline size_t previous_boundary(std::string_view text, size_t at) {
  do --at;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
  return at;
}

void append_utf8(std::string& out, char32_t point);
size_t count_code_points(std::string_view text);

// Length of the longest prefix that is valid UTF-8 (no overlong forms, no surrogates, at most U+10FFFF).
size_t valid_utf8_prefix(std::string_view text);
inline bool is_valid_utf8(std::string_view text) { return valid_utf8_prefix(text) == text.size(); }

// Each maximal ill-formed part becomes one U+FFFD (Unicode 3.9, table 3-8; what WHATWG and Rust do).
std::string replace_invalid_utf8(std::string_view bytes);

// Number of bytes at the end of `bytes` that begin a character which is not complete yet.
size_t incomplete_utf8_suffix(std::string_view bytes);

// The White_Space property.
inline bool is_white_space(char32_t point) {
  if (point < 0x80) return point == 0x20 || (point >= 0x09 && point <= 0x0D);
  return point == 0x85 || point == 0xA0 || point == 0x1680 || (point >= 0x2000 && point <= 0x200A) || point == 0x2028 ||
         point == 0x2029 || point == 0x202F || point == 0x205F || point == 0x3000;
}

bool is_letter(char32_t point);   // general category L*
bool is_mark(char32_t point);     // M*
bool is_number(char32_t point);   // N*
bool is_decimal(char32_t point);  // Nd
bool is_word(char32_t point);     // \w of UTS 18
bool is_cased_upper(char32_t point);
bool is_cased_lower(char32_t point);

// Full case mapping of one character, without context or locale.
void append_lower(std::string& out, char32_t point);
void append_upper(std::string& out, char32_t point);
std::string to_lower(std::string_view text);
std::string to_upper(std::string_view text);

}  // namespace masbak::models

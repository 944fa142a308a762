#include "policies/suites/scoring.h"

#include <cstdint>
#include <vector>

namespace masbak::policies {
namespace {

// One character of UTF-8 from `at`, which is moved on. A broken byte stands for itself.
uint32_t next_character(std::string_view text, size_t* at) {
  const auto byte = static_cast<unsigned char>(text[*at]);
  const size_t length = byte < 0x80 ? 1 : byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
  if (length == 1 || *at + length > text.size()) {
    ++*at;
    return byte;
  }
  uint32_t code = byte & (0xff >> (length + 1));
  for (size_t i = 1; i < length; ++i) code = code << 6 | (static_cast<unsigned char>(text[*at + i]) & 0x3f);
  *at += length;
  return code;
}

bool is_space(uint32_t code) {
  return code == ' ' || (code >= '\t' && code <= '\r') || code == 0xa0 || code == 0x1680 ||
         (code >= 0x2000 && code <= 0x200a) || code == 0x2028 || code == 0x2029 || code == 0x202f || code == 0x205f ||
         code == 0x3000;
}

// Signs without a meaning of their own here: vowel signs, tatweel, thousands separator, direction marks.
bool is_left_out(uint32_t code) {
  return (code >= 0x64b && code <= 0x65f) || code == 0x670 || code == 0x640 || code == 0x66c ||
         (code >= 0x200b && code <= 0x200f) || (code >= 0x202a && code <= 0x202e) ||
         (code >= 0x2066 && code <= 0x2069) || code == 0xfeff;
}

// The ASCII character that stands for this one, 0 if there is none.
char ascii_of(uint32_t code) {
  if (code >= 'A' && code <= 'Z') return static_cast<char>(code - 'A' + 'a');
  if (code >= 0x660 && code <= 0x669) return static_cast<char>('0' + (code - 0x660));
  if (code >= 0x6f0 && code <= 0x6f9) return static_cast<char>('0' + (code - 0x6f0));
  if (code == 0x66b) return '.';
  if ((code >= 0x2010 && code <= 0x2015) || code == 0x2212) return '-';
  if (is_space(code)) return ' ';
  return code < 0x80 ? static_cast<char>(code) : '\0';
}

// Arabic letters that are written one for another.
std::string_view arabic_letter(uint32_t code) {
  if (code == 0x622 || code == 0x623 || code == 0x625 || code == 0x671) return "\u0627";  // alef
  if (code == 0x649) return "\u064a";                                                     // ya
  return {};
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return c >= 'a' && c <= 'z'; }

// The number or word that ends before `begin` and one that starts there would be one.
bool joined_before(std::string_view text, size_t begin, char first) {
  if (begin == 0) return false;
  const char before = text[begin - 1];
  if (is_letter(first)) return is_letter(before) || is_digit(before);
  if (!is_digit(first)) return false;
  if (is_digit(before) || is_letter(before)) return true;
  return (before == '.' || before == ',') && begin >= 2 && is_digit(text[begin - 2]);
}

bool joined_after(std::string_view text, size_t end, char last) {
  if (end >= text.size()) return false;
  const char after = text[end];
  if (is_letter(last)) return is_letter(after) || is_digit(after);
  if (!is_digit(last)) return false;
  if (is_digit(after)) return true;
  return (after == '.' || after == ',') && end + 1 < text.size() && is_digit(text[end + 1]);
}

}  // namespace

std::string comparable(std::string_view text) {
  std::string result;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const uint32_t code = next_character(text, &at);
    if (is_left_out(code)) continue;
    if (const char ascii = ascii_of(code)) {
      result += ascii;
    } else if (const std::string_view letter = arabic_letter(code); !letter.empty()) {
      result += letter;
    } else {
      result += text.substr(begin, at - begin);
    }
  }
  return result;
}

bool holds_key(std::string_view answer, std::string_view key) {
  const std::string text = comparable(answer);
  std::string wanted;
  for (const char c : comparable(key)) {
    if (c != ' ') wanted += c;
  }
  if (wanted.empty()) return false;
  // The text without its spaces, and where each byte of it stands in the text.
  std::string dense;
  std::vector<size_t> places;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ' ') continue;
    dense += text[i];
    places.push_back(i);
  }
  for (size_t at = dense.find(wanted); at != std::string::npos; at = dense.find(wanted, at + 1)) {
    const size_t begin = places[at], end = places[at + wanted.size() - 1] + 1;
    if (!joined_before(text, begin, wanted.front()) && !joined_after(text, end, wanted.back())) return true;
  }
  return false;
}

}  // namespace masbak::policies

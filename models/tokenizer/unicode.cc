#include "models/tokenizer/unicode.h"

#include <utf8proc.h>

#include <cstring>

namespace masbak::models {
namespace {

// Length of the well-formed character at `at`, or 0; `bad` gets the length of the ill-formed part.
size_t check_character(std::string_view text, size_t at, size_t& bad) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  unsigned char lead = byte(at);
  bad = 1;
  if (lead < 0x80) return 1;
  size_t length = lead >= 0xC2 && lead <= 0xDF   ? 2
                  : lead >= 0xE0 && lead <= 0xEF ? 3
                  : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                 : 0;
  if (length == 0) return 0;
  for (size_t i = 1; i < length; ++i) {
    if (at + i >= text.size()) return 0;
    unsigned char low = 0x80, high = 0xBF;
    if (i == 1) {
      if (lead == 0xE0) low = 0xA0;
      if (lead == 0xED) high = 0x9F;
      if (lead == 0xF0) low = 0x90;
      if (lead == 0xF4) high = 0x8F;
    }
    if (byte(at + i) < low || byte(at + i) > high) return 0;
    bad = i + 1;
  }
  return length;
}

bool in_category(char32_t point, utf8proc_category_t first, utf8proc_category_t last) {
  utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(point));
  return category >= first && category <= last;
}

}  // namespace

void append_utf8(std::string& out, char32_t point) {
  if (point < 0x80) {
    out += static_cast<char>(point);
  } else if (point < 0x800) {
    out += static_cast<char>(0xC0 | point >> 6);
    out += static_cast<char>(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    out += static_cast<char>(0xE0 | point >> 12);
    out += static_cast<char>(0x80 | (point >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (point & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | point >> 18);
    out += static_cast<char>(0x80 | (point >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (point >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (point & 0x3F));
  }
}

size_t count_code_points(std::string_view text) {
  size_t count = 0;
  for (char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return count;
}

size_t valid_utf8_prefix(std::string_view text) {
  size_t at = 0, bad = 0;
  while (at < text.size()) {
    uint64_t eight;
    if (at + 8 <= text.size()) {
      std::memcpy(&eight, text.data() + at, 8);
      if ((eight & 0x8080808080808080ull) == 0) {
        at += 8;
        continue;
      }
    }
    // What most text outside of ASCII is: two bytes, and the three of a lead that bounds no byte behind it further.
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char lead = byte(at);
    const bool two = at + 1 < text.size() && (byte(at + 1) & 0xC0) == 0x80;
    if (lead < 0x80) {
      ++at;
    } else if (lead >= 0xC2 && lead <= 0xDF && two) {
      at += 2;
    } else if (lead > 0xE0 && lead < 0xEF && lead != 0xED && two && at + 2 < text.size() &&
               (byte(at + 2) & 0xC0) == 0x80) {
      at += 3;
    } else {
      const size_t length = check_character(text, at, bad);
      if (length == 0) return at;
      at += length;
    }
  }
  return at;
}

std::string replace_invalid_utf8(std::string_view bytes) {
  size_t valid = valid_utf8_prefix(bytes);
  std::string out(bytes.substr(0, valid));
  size_t at = valid, bad = 0;
  while (at < bytes.size()) {
    size_t length = check_character(bytes, at, bad);
    if (length > 0) {
      out.append(bytes.substr(at, length));
      at += length;
    } else {
      append_utf8(out, kReplacementCharacter);
      at += bad;
    }
  }
  return out;
}

size_t incomplete_utf8_suffix(std::string_view bytes) {
  for (size_t back = 1; back <= 3 && back <= bytes.size(); ++back) {
    unsigned char c = static_cast<unsigned char>(bytes[bytes.size() - back]);
    if ((c & 0xC0) == 0x80) continue;
    size_t wanted = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC2 ? 2 : 1;
    size_t bad = 0;
    check_character(bytes, bytes.size() - back, bad);
    return wanted > back && bad == back ? back : 0;
  }
  return 0;
}

bool is_letter(char32_t point) {
  if (point < 0x80) return (point | 0x20) >= 'a' && (point | 0x20) <= 'z';
  return in_category(point, UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_LO);
}

bool is_mark(char32_t point) { return in_category(point, UTF8PROC_CATEGORY_MN, UTF8PROC_CATEGORY_ME); }

bool is_number(char32_t point) {
  if (point < 0x80) return point >= '0' && point <= '9';
  return in_category(point, UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_NO);
}

bool is_decimal(char32_t point) { return in_category(point, UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_ND); }

bool is_word(char32_t point) {
  if (point < 0x80) return is_letter(point) || is_number(point) || point == '_';
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(point))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC: return true;
    default:
      // Join_Control, and the circled and squared letters of Other_Alphabetic.
      return point == 0x200C || point == 0x200D || (point >= 0x24B6 && point <= 0x24E9) ||
             (point >= 0x1F130 && point <= 0x1F149) || (point >= 0x1F150 && point <= 0x1F169) ||
             (point >= 0x1F170 && point <= 0x1F189);
  }
}

bool is_cased_upper(char32_t point) { return in_category(point, UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_LU); }
bool is_cased_lower(char32_t point) { return in_category(point, UTF8PROC_CATEGORY_LL, UTF8PROC_CATEGORY_LL); }

void append_lower(std::string& out, char32_t point) {
  if (point == 0x130) {  // the one character whose unconditional lower case is two characters
    out += "i\u0307";
    return;
  }
  append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(point))));
}

void append_upper(std::string& out, char32_t point) {
  if (point == 0xDF) {
    out += "SS";
    return;
  }
  if (point >= 0xFB00 && point <= 0xFB06) {
    static const char* const kLigatures[] = {"FF", "FI", "FL", "FFI", "FFL", "ST", "ST"};
    out += kLigatures[point - 0xFB00];
    return;
  }
  append_utf8(out, static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(point))));
}

std::string to_lower(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) append_lower(out, next_code_point(text, at));
  return out;
}

std::string to_upper(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) append_upper(out, next_code_point(text, at));
  return out;
}

}  // namespace masbak::models

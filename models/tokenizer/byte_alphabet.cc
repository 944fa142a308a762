#include "models/tokenizer/byte_alphabet.h"

#include <array>

#include "models/tokenizer/unicode.h"

namespace masbak::models {
namespace {

struct Alphabet {
  std::array<char32_t, 256> character;
  std::array<int, 512> byte;
  Alphabet() {
    byte.fill(-1);
    char32_t next = 256;
    for (int b = 0; b < 256; ++b) {
      bool printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b != 0xAD);
      character[b] = printable ? static_cast<char32_t>(b) : next++;
      byte[character[b]] = b;
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet table;
  return table;
}

}  // namespace

char32_t character_of_byte(unsigned char byte) { return alphabet().character[byte]; }

int byte_of_character(char32_t point) { return point < 512 ? alphabet().byte[point] : -1; }

std::string fallback_token(int byte) {
  static const char kDigits[] = "0123456789ABCDEF";
  return std::string("<0x") + kDigits[byte >> 4] + kDigits[byte & 15] + ">";
}

std::string to_byte_alphabet(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (char c : bytes) append_utf8(out, character_of_byte(static_cast<unsigned char>(c)));
  return out;
}

std::optional<std::string> from_byte_alphabet(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    int byte = byte_of_character(next_code_point(text, at));
    if (byte < 0) return std::nullopt;
    out += static_cast<char>(byte);
  }
  return out;
}

}  // namespace masbak::models

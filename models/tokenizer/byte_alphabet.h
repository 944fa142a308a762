// The 256 printable characters that stand for bytes in a byte-level vocabulary
// (openai/gpt-2, src/encoder.py, bytes_to_unicode).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace masbak::models {

char32_t character_of_byte(unsigned char byte);
// -1 for a character that stands for no byte.
int byte_of_character(char32_t point);

std::string to_byte_alphabet(std::string_view bytes);
// Nothing if a character of `text` stands for no byte.
std::optional<std::string> from_byte_alphabet(std::string_view text);

// The token that stands for one byte where a vocabulary falls back to bytes: <0x00> … <0xFF>.
std::string fallback_token(int byte);

}  // namespace masbak::models

#include "models/tokenizer/character_map.h"

#include <cstring>

#include "models/tokenizer/grapheme.h"
#include "models/tokenizer/unicode.h"

namespace masbak::models {
namespace {

// Only clusters shorter than this are looked up as a whole; the reference does so, too.
constexpr size_t kLongestCluster = 5;

uint32_t offset_of(uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); }

}  // namespace

CharacterMap::CharacterMap(std::string_view bytes, const Config& where) {
  uint32_t size = 0;
  if (bytes.size() >= 4) std::memcpy(&size, bytes.data(), 4);
  if (size % 4 != 0 || size == 0 || size > bytes.size() - 4) {
    where.fail("expected a character map of SentencePiece (length, trie, replacements), found " +
               std::to_string(bytes.size()) + " bytes that are none; take the file from the model's publisher again");
  }
  units_.resize(size / 4);
  std::memcpy(units_.data(), bytes.data() + 4, size);
  replacements_ = bytes.substr(4 + size);
  if (!is_valid_utf8(replacements_)) {
    where.fail(
        "expected replacements in UTF-8 in the character map, found other bytes; take the file from the "
        "model's publisher again");
  }
  for (int c = 0; c < 128; ++c) {
    const char character = static_cast<char>(c);
    plain_[c] = !replacement({&character, 1});
  }
}

std::optional<std::string_view> CharacterMap::replacement(std::string_view text) const {
  size_t at = offset_of(units_[0]);
  for (char c : text) {
    const uint32_t byte = static_cast<unsigned char>(c);
    if (byte == 0) break;
    at ^= byte;
    if (at >= units_.size()) return std::nullopt;
    const uint32_t unit = units_[at];
    if ((unit & (1u << 31 | 0xFF)) != byte) return std::nullopt;
    at ^= offset_of(unit);
    if (at >= units_.size()) return std::nullopt;
    if ((unit >> 8 & 1) == 0) continue;
    const size_t begin = units_[at] & ~(1u << 31);
    // A place inside a character or past the end belongs to a damaged map.
    if (begin > replacements_.size() ||
        (begin < replacements_.size() && (static_cast<unsigned char>(replacements_[begin]) & 0xC0) == 0x80)) {
      return std::nullopt;
    }
    const size_t end = std::min(replacements_.find('\0', begin), replacements_.size());
    return std::string_view(replacements_).substr(begin, end - begin);
  }
  return std::nullopt;
}

std::string CharacterMap::apply(const std::string& text) const {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const unsigned char byte = static_cast<unsigned char>(text[at]);
    const bool alone = at + 1 == text.size() || static_cast<unsigned char>(text[at + 1]) < 0x80;
    if (byte < 0x80 && byte != '\r' && alone && plain_[byte]) {
      out += text[at++];
      continue;
    }
    const size_t end = grapheme_end(text, at);
    if (end - at <= kLongestCluster) {
      if (auto whole = replacement(std::string_view(text).substr(at, end - at))) {
        out += *whole;
        at = end;
        continue;
      }
    }
    while (at < end) {
      size_t next = at;
      next_code_point(text, next);
      const std::string_view one = std::string_view(text).substr(at, next - at);
      auto other = replacement(one);
      out += other ? *other : one;
      at = next;
    }
  }
  return out;
}

}  // namespace masbak::models

#include "base/text.h"

namespace masbak::base {

size_t find_invalid_utf8(std::string_view text) {
  const auto byte = [&text](size_t at) { return static_cast<unsigned char>(text[at]); };
  for (size_t at = 0; at < text.size();) {
    const unsigned char lead = byte(at);
    size_t length = 1;
    unsigned char low = 0x80, high = 0xbf;  // of the second byte: rules out overlong forms and surrogates
    if (lead >= 0xc2 && lead <= 0xdf) {
      length = 2;
    } else if (lead >= 0xe0 && lead <= 0xef) {
      length = 3;
      if (lead == 0xe0) low = 0xa0;
      if (lead == 0xed) high = 0x9f;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
      length = 4;
      if (lead == 0xf0) low = 0x90;
      if (lead == 0xf4) high = 0x8f;
    } else if (lead >= 0x80) {
      return at;
    }
    if (at + length > text.size()) return at;
    for (size_t i = 1; i < length; ++i) {
      if (byte(at + i) < (i == 1 ? low : 0x80) || byte(at + i) > (i == 1 ? high : 0xbf)) return at;
    }
    at += length;
  }
  return std::string_view::npos;
}

std::string with_valid_utf8(std::string_view text) {
  std::string valid;
  for (;;) {
    const size_t bad = find_invalid_utf8(text);
    valid += text.substr(0, bad);
    if (bad == std::string_view::npos) return valid;
    valid += "\xef\xbf\xbd";
    text.remove_prefix(bad + 1);
  }
}

std::string shortened(std::string_view text, size_t bytes) {
  if (text.size() <= bytes) return std::string(text);
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xc0) == 0x80) --bytes;
  return std::string(text.substr(0, bytes)) + "…";
}

}  // namespace masbak::base

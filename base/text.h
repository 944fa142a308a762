// Checks on text that comes from outside.
#pragma once

#include <string>
#include <string_view>

namespace masbak::base {

// The place of the first byte that is not UTF-8 (RFC 3629), npos if there is none.
size_t find_invalid_utf8(std::string_view text);

// The text with each byte that is not UTF-8 replaced by U+FFFD: messages cross gRPC and JSON, which
// take nothing else.
std::string with_valid_utf8(std::string_view text);

// At most `bytes` of the text, never ending inside a character, with "…" if something was cut off.
std::string shortened(std::string_view text, size_t bytes);

}  // namespace masbak::base

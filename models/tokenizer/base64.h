// Base64 (RFC 4648, section 4), as tokenizer files use it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace masbak::models {

// Nothing if `text` is not base64 with its padding.
std::optional<std::string> decode_base64(std::string_view text);
std::string encode_base64(std::string_view bytes);

}  // namespace masbak::models

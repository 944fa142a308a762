// NFC, NFD, NFKC and NFKD as the reference forms them, fast on text that has the form already.
#pragma once

#include <string>
#include <string_view>

namespace masbak::models {

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };

// `text` must be valid UTF-8.
std::string normalize(std::string_view text, NormalForm form);

}  // namespace masbak::models

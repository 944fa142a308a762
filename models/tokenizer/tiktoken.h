// tiktoken's vocabulary files (lines of a token in base64 and its rank), written as a tokenizer.json.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "models/tokenizer/config.h"
#include "models/tokenizer/special_names.h"

namespace masbak::models {

// The tokens by rank. INVALID_ARGUMENT with the line if it is damaged: no base64, a rank twice or left out, a single
// byte without a token.
std::vector<std::string> parse_tiktoken(std::string_view text, const std::string& file);

// The tokenizer.json for it. The class TikTokenTokenizer of Kimi K2 and Moonlight has its own pattern and 258
// reserved special tokens; without a class it is what transformers converts the file to (TikTokenConverter).
// UNIMPLEMENTED, by name, for another class.
TokenizerJson tiktoken_document(const std::vector<std::string>& tokens, const std::string& file,
                                const SpecialNames& names);

}  // namespace masbak::models

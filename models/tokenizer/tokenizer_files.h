// The files that a tokenizer is read from: tokenizer.json, or what a family ships in its place.
#pragma once

#include <filesystem>

#include "models/tokenizer/config.h"
#include "models/tokenizer/special_names.h"

namespace masbak::models {

struct TokenizerDocument {
  std::filesystem::path file;
  TokenizerJson json;
  SpecialNames names;
};

// tokenizer.json; or else tokenizer.model (SentencePiece, or tiktoken under that name), tiktoken.model or
// *.tiktoken, written as one. NOT_FOUND if the folder has none of them, INVALID_ARGUMENT if the file is damaged.
TokenizerDocument read_tokenizer_document(const std::filesystem::path& folder);

// JSON that is nested no deeper than a tokenizer needs. INVALID_ARGUMENT at `file`.
TokenizerJson parse_tokenizer_json(const std::string& text, const std::string& file);

}  // namespace masbak::models

// SentencePiece's precompiled character map ("Precompiled" of tokenizer.json): a double-array trie of strings and
// what replaces each (google/sentencepiece, normalizer.cc; the array is darts-clone's).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/tokenizer/config.h"

namespace masbak::models {

class CharacterMap {
 public:
  // The bytes of the map; INVALID_ARGUMENT at `where` if they are none.
  CharacterMap(std::string_view bytes, const Config& where);

  // `text` must be valid UTF-8; so is the result.
  std::string apply(const std::string& text) const;

 private:
  // What replaces a text that begins with a key: the replacement of the shortest such key.
  std::optional<std::string_view> replacement(std::string_view text) const;

  std::vector<uint32_t> units_;
  std::string replacements_;
  bool plain_[128];  // ASCII characters that stay as they are
};

}  // namespace masbak::models

// Models that look words up: WordPiece (Schuster and Nakajima 2012, the longest match first) and WordLevel.
#pragma once

#include <string>
#include <vector>

#include "models/tokenizer/byte_trie.h"
#include "models/tokenizer/token_model.h"
#include "models/tokenizer/vocabulary.h"

namespace masbak::models {

class WordPieceModel : public TokenModel {
 public:
  explicit WordPieceModel(const Config& config);

  // A word that cannot be cut into tokens, or is too long, is one unknown token; INVALID_ARGUMENT if there is none.
  void encode(std::string_view piece, bool bytes, std::vector<int32_t>& ids) const override;
  std::optional<int32_t> id(std::string_view token) const override { return vocabulary_.id(token); }
  const std::vector<std::optional<std::string>>& tokens() const override { return vocabulary_.tokens(); }
  size_t size() const override { return vocabulary_.size(); }

 private:
  void encode_word(std::string_view piece, std::vector<int32_t>& ids) const;

  Vocabulary vocabulary_;
  ByteTrie trie_;
  uint32_t continued_;  // where tokens begin that continue a word: behind the prefix ("##")
  size_t longest_word_;
  std::string unknown_token_;
  uint64_t owner_;
};

// Each piece is a token or unknown.
class WordLevelModel : public TokenModel {
 public:
  explicit WordLevelModel(const Config& config);

  void encode(std::string_view piece, bool bytes, std::vector<int32_t>& ids) const override;
  std::optional<int32_t> id(std::string_view token) const override { return vocabulary_.id(token); }
  const std::vector<std::optional<std::string>>& tokens() const override { return vocabulary_.tokens(); }
  size_t size() const override { return vocabulary_.size(); }

 private:
  Vocabulary vocabulary_;
  std::string unknown_token_;
};

}  // namespace masbak::models

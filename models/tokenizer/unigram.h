// Unigram language model (Kudo 2018): the most probable way to cut a word, as tokenizers finds it (models/unigram).
#pragma once

#include <string>
#include <vector>

#include "models/tokenizer/byte_trie.h"
#include "models/tokenizer/token_model.h"
#include "models/tokenizer/vocabulary.h"

namespace masbak::models {

class UnigramModel : public TokenModel {
 public:
  // "vocab" is a list of [token, log probability], its order the ids; "unk_id" and "byte_fallback".
  explicit UnigramModel(const Config& config);

  // INVALID_ARGUMENT if the text has a character that is no token and the model has no unknown token.
  void encode(std::string_view piece, bool bytes, std::vector<int32_t>& ids) const override;
  std::optional<int32_t> id(std::string_view token) const override { return vocabulary_.id(token); }
  const std::vector<std::optional<std::string>>& tokens() const override { return vocabulary_.tokens(); }
  size_t size() const override { return vocabulary_.tokens().size(); }

 private:
  void read_scores(const Config& list);
  void encode_word(std::string_view piece, std::vector<int32_t>& ids) const;
  void append_token(std::string_view token, std::vector<int32_t>& ids) const;

  Vocabulary vocabulary_;
  std::vector<double> scores_;
  ByteTrie trie_;
  double unknown_score_ = 0;
  int32_t unknown_ = -1;
  bool byte_fallback_ = false;
  int32_t fallback_ids_[256];
  bool all_fallback_ = true;  // each byte has its token
  uint64_t owner_;
};

}  // namespace masbak::models

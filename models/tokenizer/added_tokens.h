// Added tokens: strings that are found in the text before the model sees it (chat markers and the like).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "models/tokenizer/config.h"
#include "models/tokenizer/normalizer.h"
#include "models/tokenizer/token_model.h"

namespace masbak::models {

struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool special = false;
  bool single_word = false;  // only where no word character touches it
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // and behind it
  bool normalized = false;   // looked for in the normalised text
};

// A part of a text: an added token, or (id < 0) what lies between.
struct AddedSplit {
  size_t begin, end;
  int32_t id;
};

class AddedTokens {
 public:
  // `normalizer` may be null.
  AddedTokens(const Config& tokenizer, const TokenModel& model, const Normalizer* normalizer);

  // Leftmost-longest matches of the tokens that are not normalised, or of those that are.
  std::vector<AddedSplit> split(std::string_view text, bool normalized) const;

  const AddedToken* find(int32_t id) const;
  std::optional<int32_t> id(std::string_view content) const;
  bool is_special(int32_t id) const { return special_.contains(id); }
  // What decoding starts from: the normalised form of a normalised token.
  const std::string* decoded(int32_t id) const;
  const std::vector<AddedToken>& tokens() const { return tokens_; }

 private:
  // A trie over bytes. Children are found by (node, byte) in one table for all nodes.
  struct Trie {
    std::unordered_map<uint64_t, uint32_t> children;
    std::vector<int32_t> token{-1};  // by node: index into tokens_, or -1
    bool first[256] = {};
    void insert(std::string_view text, int32_t index);
    // Longest match at text[at]; its end, or 0.
    size_t match(std::string_view text, size_t at, int32_t& index) const;
    bool empty() const { return token.size() == 1; }
  };

  std::vector<AddedToken> tokens_;
  std::vector<std::string> decoded_;  // by index
  std::unordered_map<int32_t, size_t> by_id_;
  std::unordered_map<std::string, int32_t> by_content_;
  std::unordered_set<int32_t> special_;
  Trie raw_, normalized_;
};

}  // namespace masbak::models

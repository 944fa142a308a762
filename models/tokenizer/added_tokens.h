// Added tokens: strings that are found in the text before the model sees it (chat markers and the like).
#pragma once

#include <cstdint>
#include <map>
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
  std::string content;
  bool special = false;
  bool single_word = false;  // only where no word character touches it
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // and behind it
  bool normalized = false;   // looked for in the normalised text

  bool operator==(const AddedToken&) const = default;
};

// From an entry of added_tokens or added_tokens_decoder.
AddedToken read_added_token(const Config& entry);

// A part of a text: an added token, or (id < 0) what lies between.
struct AddedSplit {
  size_t begin, end;
  int32_t id;
};

class AddedTokens {
 public:
  // `model` and `normalizer` (which may be null) must outlive it.
  AddedTokens(const TokenModel& model, const Normalizer* normalizer) : model_(model), normalizer_(normalizer) {}

  // "added_tokens" of tokenizer.json. INVALID_ARGUMENT for ids out of range or given twice.
  void add_all(const Config& tokenizer);
  // A token gets the id that the model or an earlier call knows it by, and otherwise the next free one, as in
  // tokenizers (add_tokens); a known token takes the new flags.
  void add(const std::vector<AddedToken>& tokens);
  // Special tokens in a text are then no longer looked for (transformers' split_special_tokens).
  void split_special_tokens(bool value) { split_special_tokens_ = value; }

  // Leftmost-longest matches of the tokens that are not normalised, or of those that are.
  std::vector<AddedSplit> split(std::string_view text, bool normalized) const;
  bool any(bool normalized) const { return !(normalized ? normalized_ : raw_).empty(); }

  std::optional<int32_t> id(std::string_view content) const;
  bool is_special(const std::string& token) const { return special_.contains(token); }
  // What decoding starts from: the normalised form of a normalised token; null if the id is none of these.
  const std::string* decoded(int32_t id) const;
  const std::map<int32_t, AddedToken>& tokens() const { return tokens_; }

 private:
  // A trie over bytes. Children are found by (node, byte) in one table for all nodes.
  struct Trie {
    std::unordered_map<uint64_t, uint32_t> children;
    std::vector<int32_t> token{-1};  // by node: the id, or -1
    bool first[256] = {};
    void insert(std::string_view text, int32_t id);
    // Longest match at text[at]; its end, or 0.
    size_t match(std::string_view text, size_t at, int32_t& id) const;
    bool empty() const { return token.size() == 1; }
  };

  const TokenModel& model_;
  const Normalizer* normalizer_;
  std::map<int32_t, AddedToken> tokens_;
  std::unordered_map<int32_t, std::string> normal_forms_;  // where they differ from the content
  std::unordered_map<std::string, int32_t> ids_;
  std::unordered_set<std::string> special_;
  bool split_special_tokens_ = false;
  Trie raw_, normalized_;
};

}  // namespace masbak::models

// The tokens of a model and their ids: what BPE, WordPiece and WordLevel read from "vocab".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "models/tokenizer/config.h"

namespace masbak::models {

// Ids above this are taken for a damaged file: no vocabulary comes near it.
constexpr int64_t kLargestTokenId = 100'000'000;

class Vocabulary {
 public:
  // An empty one, to be filled by `add`.
  Vocabulary() = default;
  // From an object of token to id. INVALID_ARGUMENT for an id that is none, too large, or given twice.
  explicit Vocabulary(const Config& object);

  // A repeated token takes the later id, as in a JSON object.
  void add(const std::string& token, int32_t id);

  std::optional<int32_t> id(std::string_view token) const {
    auto found = ids_.find(token);
    return found == ids_.end() ? std::nullopt : std::optional(found->second);
  }
  // By id; an id without a token is empty.
  const std::vector<std::optional<std::string>>& tokens() const { return tokens_; }
  size_t size() const { return ids_.size(); }

  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  using Ids = std::unordered_map<std::string, int32_t, Hash, std::equal_to<>>;
  const Ids& ids() const { return ids_; }

 private:
  Ids ids_;
  std::vector<std::optional<std::string>> tokens_;
};

}  // namespace masbak::models

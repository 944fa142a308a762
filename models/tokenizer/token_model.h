// The model of a tokenizer: one piece of text to ids. A new kind is one class and a line in make_token_model.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/tokenizer/config.h"

namespace masbak::models {

class TokenModel {
 public:
  virtual ~TokenModel() = default;
  // Appends the ids of one piece. Thread-safe. With `bytes` the vocabulary is written in the byte
  // alphabet, while `piece` holds the bytes themselves.
  virtual void encode(std::string_view piece, bool bytes, std::vector<int32_t>& ids) const = 0;
  virtual std::optional<int32_t> id(std::string_view token) const = 0;
  // Tokens by id; an id without a token is an empty optional.
  virtual const std::vector<std::optional<std::string>>& tokens() const = 0;
  virtual size_t size() const = 0;  // number of tokens
};

// UNIMPLEMENTED, by name, for what there is not here.
std::unique_ptr<TokenModel> make_token_model(const Config& config);

}  // namespace masbak::models

#include "models/tokenizer/vocabulary.h"

namespace masbak::models {

Vocabulary::Vocabulary(const Config& object) {
  if (!object.json().is_object()) {
    object.fail(std::string("expected an object of token to id, found ") + object.json().type_name());
  }
  ids_.reserve(object.json().size());
  // Ids are dense but for a few holes; one far past the number of tokens would only take memory.
  const int64_t largest = std::min<int64_t>(kLargestTokenId, static_cast<int64_t>(object.json().size()) * 64 + 65536);
  for (const auto& [token, number] : object.json().items()) {
    if (!number.is_number_unsigned() || number.get<uint64_t>() > static_cast<uint64_t>(largest)) {
      object.fail("expected an id from 0 to " + std::to_string(largest) + " for token \"" + token + "\", found " +
                  number.dump());
    }
    const size_t id = number.get<size_t>();
    if (id < tokens_.size() && tokens_[id]) {
      object.fail("expected an id of its own for each token, found " + std::to_string(id) + " for both \"" +
                  *tokens_[id] + "\" and \"" + token + "\"; take the file from the model's publisher again");
    }
    add(token, static_cast<int32_t>(id));
  }
}

void Vocabulary::add(const std::string& token, int32_t id) {
  const size_t at = static_cast<size_t>(id);
  if (at >= tokens_.size()) tokens_.resize(at + 1);
  tokens_[at] = token;
  ids_[token] = id;
}

}  // namespace masbak::models

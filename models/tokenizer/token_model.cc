#include "models/tokenizer/token_model.h"

#include "models/tokenizer/bpe.h"
#include "models/tokenizer/unigram.h"
#include "models/tokenizer/wordpiece.h"

namespace masbak::models {
namespace {

// Files written before "type" existed: told apart by the fields that only one kind has.
std::string guess_type(const Config& config) {
  if (config.has("merges")) return "BPE";
  if (config.child("vocab").json().is_array()) return "Unigram";
  return config.has("max_input_chars_per_word") ? "WordPiece" : "WordLevel";
}

}  // namespace

std::unique_ptr<TokenModel> make_token_model(const Config& config) {
  if (config.is_null()) config.fail("expected a tokenizer model, found none");
  const std::string type = config.has("type") ? config.string("type") : guess_type(config);
  if (type == "BPE") return std::make_unique<BpeModel>(config);
  if (type == "Unigram") return std::make_unique<UnigramModel>(config);
  if (type == "WordPiece") return std::make_unique<WordPieceModel>(config);
  if (type == "WordLevel") return std::make_unique<WordLevelModel>(config);
  config.unimplemented("tokenizer model", type);
}

}  // namespace masbak::models

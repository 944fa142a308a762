#include "models/tokenizer/wordpiece.h"

#include <algorithm>

#include "models/tokenizer/byte_alphabet.h"
#include "models/tokenizer/unicode.h"
#include "models/tokenizer/word_cache.h"

namespace masbak::models {
namespace {

int32_t unknown_id(const Vocabulary& vocabulary, const std::string& token, std::string_view word) {
  if (auto id = vocabulary.id(token)) return *id;
  base::fail_input("expected the unknown token \"" + token + "\" in the vocabulary, found none, but the text has \"" +
                   std::string(word.substr(0, 100)) + "\", which is no token");
}

}  // namespace

WordPieceModel::WordPieceModel(const Config& config)
    : vocabulary_(config.child("vocab")),
      unknown_token_(config.string("unk_token", "[UNK]")),
      owner_(WordCache::next_owner()) {
  const int64_t longest = config.has("max_input_chars_per_word") ? config.integer("max_input_chars_per_word") : 100;
  if (longest < 0) config.fail("expected max_input_chars_per_word of 0 or more, found " + std::to_string(longest));
  longest_word_ = static_cast<size_t>(longest);
  std::vector<std::pair<std::string_view, int32_t>> keys;
  keys.reserve(vocabulary_.size());
  for (const auto& [token, id] : vocabulary_.ids()) keys.emplace_back(token, id);
  trie_ = ByteTrie(std::move(keys));
  continued_ = trie_.walk(ByteTrie::kRoot, config.string("continuing_subword_prefix", "##"));
}

void WordPieceModel::encode(std::string_view piece, bool bytes, std::vector<int32_t>& ids) const {
  if (piece.empty()) return;
  auto compute = [&](std::string_view word, std::vector<int32_t>& out) {
    encode_word(bytes ? to_byte_alphabet(word) : word, out);
  };
  if (!WordCache::fits(piece)) return compute(piece, ids);
  WordCache::of_thread(owner_).encode(piece, bytes, ids, compute);
}

void WordPieceModel::encode_word(std::string_view piece, std::vector<int32_t>& ids) const {
  const size_t before = ids.size();
  bool known = count_code_points(piece) <= longest_word_;
  for (size_t at = 0; known && at < piece.size();) {
    uint32_t node = at == 0 ? ByteTrie::kRoot : continued_;
    size_t end = 0;
    int32_t longest = -1;
    for (size_t i = at; i < piece.size() && node != ByteTrie::kNone; ++i) {
      node = trie_.step(node, static_cast<unsigned char>(piece[i]));
      if (node != ByteTrie::kNone && trie_.value(node) >= 0) {
        longest = trie_.value(node);
        end = i + 1;
      }
    }
    known = longest >= 0;
    if (known) ids.push_back(longest);
    at = end;
  }
  if (known) return;
  ids.resize(before);
  ids.push_back(unknown_id(vocabulary_, unknown_token_, piece));
}

WordLevelModel::WordLevelModel(const Config& config)
    : vocabulary_(config.child("vocab")), unknown_token_(config.string("unk_token", "<unk>")) {}

void WordLevelModel::encode(std::string_view piece, bool bytes, std::vector<int32_t>& ids) const {
  if (piece.empty()) return;
  auto found = vocabulary_.id(bytes ? to_byte_alphabet(piece) : std::string(piece));
  ids.push_back(found ? *found : unknown_id(vocabulary_, unknown_token_, piece));
}

}  // namespace masbak::models

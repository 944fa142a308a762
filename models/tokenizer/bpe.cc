#include "models/tokenizer/bpe.h"

#include "models/tokenizer/byte_alphabet.h"
#include "models/tokenizer/merge.h"
#include "models/tokenizer/unicode.h"
#include "models/tokenizer/word_cache.h"

namespace masbak::models {

void MergeTable::reserve(size_t merges) {
  shift_ = 62;
  size_t capacity = 4;
  while (capacity < merges * 2 + 2) {
    capacity *= 2;
    --shift_;
  }
  table_.assign(capacity, Merge());
  mask_ = capacity - 1;
}

void MergeTable::insert(int32_t left, int32_t right, uint32_t rank, int32_t id) {
  uint64_t pair = key(left, right);
  size_t at = slot(pair);
  while (table_[at].pair != kEmpty && table_[at].pair != pair) at = (at + 1) & mask_;
  table_[at] = {pair, rank, id};
}

const MergeTable::Merge* MergeTable::find(int32_t left, int32_t right) const {
  uint64_t pair = key(left, right);
  for (size_t at = slot(pair); table_[at].pair != kEmpty; at = (at + 1) & mask_) {
    if (table_[at].pair == pair) return &table_[at];
  }
  return nullptr;
}

BpeModel::BpeModel(const Config& config) : owner_(WordCache::next_owner()) {
  const TokenizerJson& json = config.json();
  if (json.contains("dropout") && json["dropout"].is_number() && json["dropout"].get<double>() > 0) {
    config.unimplemented("option", "dropout");
  }
  prefix_ = config.string("continuing_subword_prefix", "");
  suffix_ = config.string("end_of_word_suffix", "");
  fuse_unknown_ = config.boolean("fuse_unk", false);
  byte_fallback_ = config.boolean("byte_fallback", false);
  ignore_merges_ = config.boolean("ignore_merges", false);
  vocabulary_ = Vocabulary(config.child("vocab"));
  read_merges(config);
  read_bytes();
  if (config.has("unk_token")) {
    unknown_ = id(config.string("unk_token"));
    unknown_is_missing_ = !unknown_;
  }
}

void BpeModel::read_merges(const Config& config) {
  Config list = config.child("merges");
  if (!list.json().is_array()) {
    list.fail(std::string("expected a list of merges, found ") + list.json().type_name());
  }
  merges_.reserve(list.json().size());
  const bool rank_is_id = config.boolean("rank_is_id", false);
  uint32_t rank = 0;
  size_t at = 0;
  for (const TokenizerJson& merge : list.json()) {
    std::string left, right;
    const size_t index = at++;
    if (merge.is_string()) {  // "left right", the older notation
      const std::string& both = merge.get_ref<const std::string&>();
      if (both.starts_with("#version")) continue;
      size_t space = both.find(' ');
      if (space != std::string::npos && both.find(' ', space + 1) == std::string::npos) {
        left = both.substr(0, space);
        right = both.substr(space + 1);
      }
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      left = merge[0].get<std::string>();
      right = merge[1].get<std::string>();
    }
    if (left.empty() || right.empty()) {
      list.item(index).fail("expected a merge of two tokens, found " + merge.dump());
    }
    if (right.size() <= prefix_.size()) {
      list.item(index).fail("expected a merge that makes a longer token, found the cycle " + merge.dump() +
                            " that makes \"" + left + "\" again");
    }
    auto left_id = id(left), right_id = id(right), both_id = id(left + right.substr(prefix_.size()));
    if (!left_id || !right_id || !both_id) {
      const std::string unknown = !left_id ? left : !right_id ? right : left + right.substr(prefix_.size());
      list.item(index).fail("expected a merge of tokens of the vocabulary, found " + merge.dump() + " with \"" +
                            unknown + "\", which is none");
    }
    merges_.insert(*left_id, *right_id, rank_is_id ? static_cast<uint32_t>(*both_id) : rank++, *both_id);
  }
}

void BpeModel::read_bytes() {
  all_bytes_ = prefix_.empty() && suffix_.empty();
  for (int byte = 0; byte < 256; ++byte) {
    std::string character;
    append_utf8(character, character_of_byte(static_cast<unsigned char>(byte)));
    byte_ids_[byte] = id(character).value_or(-1);
    all_bytes_ = all_bytes_ && byte_ids_[byte] >= 0;
    fallback_ids_[byte] = id(fallback_token(byte)).value_or(-1);
  }
  if (!ignore_merges_) return;
  for (const auto& [token, number] : vocabulary_.ids()) {
    if (auto bytes = from_byte_alphabet(token)) ids_of_bytes_.emplace(*bytes, number);
  }
}

bool BpeModel::whole_piece(std::string_view piece, bool bytes, std::vector<int32_t>& ids) const {
  const Vocabulary::Ids& known = bytes ? ids_of_bytes_ : vocabulary_.ids();
  auto found = known.find(piece);
  if (found == known.end()) return false;
  ids.push_back(found->second);
  return true;
}

void BpeModel::encode_word(std::string_view piece, bool bytes, std::vector<int32_t>& ids) const {
  if (ignore_merges_ && whole_piece(piece, bytes, ids)) return;
  thread_local std::vector<int32_t> symbols;
  symbols.clear();
  start_symbols(piece, bytes, symbols);
  merge_symbols(merges_, symbols);
  ids.insert(ids.end(), symbols.begin(), symbols.end());
}

void BpeModel::encode(std::string_view piece, bool bytes, std::vector<int32_t>& ids) const {
  if (piece.empty()) return;
  if (!WordCache::fits(piece)) return encode_word(piece, bytes, ids);
  WordCache::of_thread(owner_).encode(
      piece, bytes, ids, [&](std::string_view word, std::vector<int32_t>& out) { encode_word(word, bytes, out); });
}

void BpeModel::start_symbols(std::string_view piece, bool bytes, std::vector<int32_t>& symbols) const {
  if (!bytes) {
    start_characters(piece, symbols);
  } else if (all_bytes_) {
    for (char c : piece) symbols.push_back(byte_ids_[static_cast<unsigned char>(c)]);
  } else {
    start_characters(to_byte_alphabet(piece), symbols);
  }
}

void BpeModel::start_characters(std::string_view piece, std::vector<int32_t>& symbols) const {
  bool unknown_pending = false;
  std::string spelled;
  for (size_t at = 0; at < piece.size();) {
    size_t begin = at;
    next_code_point(piece, at);
    std::string_view character = piece.substr(begin, at - begin);
    if (!prefix_.empty() || !suffix_.empty()) {
      spelled = (begin > 0 ? prefix_ : "") + std::string(character) + (at == piece.size() ? suffix_ : "");
      character = spelled;
    }
    if (auto found = id(character)) {
      if (unknown_pending) symbols.push_back(*unknown_);
      unknown_pending = false;
      symbols.push_back(*found);
    } else if (!(byte_fallback_ && start_fallback(character, symbols))) {
      if (unknown_is_missing_) {
        base::fail_input(
            "expected the unknown token of the tokenizer in its vocabulary, found none, but the text has \"" +
            std::string(piece.substr(begin, at - begin)) + "\", which is no token");
      }
      if (!unknown_) continue;
      if (unknown_pending && !fuse_unknown_) symbols.push_back(*unknown_);
      unknown_pending = true;
    }
  }
  if (unknown_pending) symbols.push_back(*unknown_);
}

bool BpeModel::start_fallback(std::string_view character, std::vector<int32_t>& symbols) const {
  for (char c : character) {
    if (fallback_ids_[static_cast<unsigned char>(c)] < 0) return false;
  }
  for (char c : character) symbols.push_back(fallback_ids_[static_cast<unsigned char>(c)]);
  return true;
}

}  // namespace masbak::models

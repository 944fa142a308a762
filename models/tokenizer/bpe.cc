#include "models/tokenizer/bpe.h"

#include <atomic>
#include <cstring>

#include "models/tokenizer/byte_alphabet.h"
#include "models/tokenizer/merge.h"
#include "models/tokenizer/unicode.h"

namespace masbak::models {
namespace {

// Words that this thread has met, with their ids: a table where a new word replaces the one in its slot.
class WordCache {
 public:
  static constexpr size_t kLongestWord = 40, kMostIds = 12, kSlots = 1 << 15;
  struct Slot {
    uint64_t hash = 0;
    uint8_t length = 0, count = 0;
    char word[kLongestWord];
    int32_t ids[kMostIds];
  };

  void claim(uint64_t owner) {
    if (owner_ == owner) return;
    slots_.assign(kSlots, Slot());
    owner_ = owner;
  }
  static uint64_t hash(std::string_view word, bool bytes) {
    return std::hash<std::string_view>{}(word)*2 + (bytes ? 1 : 0);
  }
  Slot& slot(uint64_t hash) { return slots_[(hash >> 1) & (kSlots - 1)]; }
  static bool holds(const Slot& slot, uint64_t hash, std::string_view word) {
    return slot.count > 0 && slot.hash == hash && slot.length == word.size() &&
           std::memcmp(slot.word, word.data(), word.size()) == 0;
  }
  static void store(Slot& slot, uint64_t hash, std::string_view word, const std::vector<int32_t>& ids) {
    if (ids.empty() || ids.size() > kMostIds) return;
    slot.hash = hash;
    slot.length = static_cast<uint8_t>(word.size());
    slot.count = static_cast<uint8_t>(ids.size());
    std::memcpy(slot.word, word.data(), word.size());
    std::memcpy(slot.ids, ids.data(), ids.size() * sizeof(int32_t));
  }

 private:
  uint64_t owner_ = 0;
  std::vector<Slot> slots_;
};

uint64_t next_serial() {
  static std::atomic<uint64_t> serial{0};
  return ++serial;
}

std::string byte_token(int byte) {
  static const char kDigits[] = "0123456789ABCDEF";
  return std::string("<0x") + kDigits[byte >> 4] + kDigits[byte & 15] + ">";
}

}  // namespace

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

BpeModel::BpeModel(const Config& config) : serial_(next_serial()) {
  const TokenizerJson& json = config.json();
  if (json.contains("dropout") && json["dropout"].is_number() && json["dropout"].get<double>() > 0) {
    config.unimplemented("option", "dropout");
  }
  prefix_ = config.string("continuing_subword_prefix", "");
  suffix_ = config.string("end_of_word_suffix", "");
  fuse_unknown_ = config.boolean("fuse_unk", false);
  byte_fallback_ = config.boolean("byte_fallback", false);
  ignore_merges_ = config.boolean("ignore_merges", false);
  read_vocabulary(config);
  read_merges(config);
  read_bytes();
  std::string unknown = config.string("unk_token", "");
  if (config.has("unk_token")) unknown_ = id(unknown);
}

void BpeModel::read_vocabulary(const Config& config) {
  Config vocabulary = config.child("vocab");
  if (!vocabulary.json().is_object()) vocabulary.fail("expected an object of token to id, found none");
  ids_.reserve(vocabulary.json().size());
  for (const auto& [token, number] : vocabulary.json().items()) {
    if (!number.is_number_unsigned() || number.get<uint64_t>() > 100'000'000) {
      vocabulary.fail("expected an id from 0 to 100000000 for token \"" + token + "\", found " + number.dump());
    }
    int32_t id = number.get<int32_t>();
    if (static_cast<size_t>(id) >= tokens_.size()) tokens_.resize(static_cast<size_t>(id) + 1);
    tokens_[static_cast<size_t>(id)] = token;
    ids_.emplace(token, id);
  }
}

void BpeModel::read_merges(const Config& config) {
  Config list = config.child("merges");
  if (!list.json().is_array()) list.fail("expected a list of merges, found none");
  merges_.reserve(list.json().size());
  uint32_t rank = 0;
  for (const TokenizerJson& merge : list.json()) {
    std::string left, right;
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
    if (left.empty() || right.size() < prefix_.size()) {
      list.fail("expected a merge of two tokens at " + std::to_string(rank) + ", found " + merge.dump());
    }
    auto left_id = id(left), right_id = id(right), both_id = id(left + right.substr(prefix_.size()));
    if (!left_id || !right_id || !both_id) {
      list.fail("expected tokens of the vocabulary in merge " + std::to_string(rank) + ", found " + merge.dump());
    }
    merges_.insert(*left_id, *right_id, rank++, *both_id);
  }
}

void BpeModel::read_bytes() {
  all_bytes_ = prefix_.empty() && suffix_.empty();
  for (int byte = 0; byte < 256; ++byte) {
    std::string character;
    append_utf8(character, character_of_byte(static_cast<unsigned char>(byte)));
    byte_ids_[byte] = id(character).value_or(-1);
    all_bytes_ = all_bytes_ && byte_ids_[byte] >= 0;
    fallback_ids_[byte] = id(byte_token(byte)).value_or(-1);
  }
  if (!ignore_merges_) return;
  for (const auto& [token, number] : ids_) {
    if (auto bytes = from_byte_alphabet(token)) ids_of_bytes_.emplace(*bytes, number);
  }
}

std::optional<int32_t> BpeModel::id(std::string_view token) const {
  auto found = ids_.find(token);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

bool BpeModel::whole_piece(std::string_view piece, bool bytes, std::vector<int32_t>& ids) const {
  const Ids& known = bytes ? ids_of_bytes_ : ids_;
  auto found = known.find(piece);
  if (found == known.end()) return false;
  ids.push_back(found->second);
  return true;
}

void BpeModel::encode(std::string_view piece, bool bytes, std::vector<int32_t>& ids) const {
  if (piece.empty() || (ignore_merges_ && whole_piece(piece, bytes, ids))) return;
  thread_local WordCache cache;
  thread_local std::vector<int32_t> symbols;
  symbols.clear();
  if (piece.size() > WordCache::kLongestWord) {
    start_symbols(piece, bytes, symbols);
    merge_symbols(merges_, symbols);
  } else {
    cache.claim(serial_);
    uint64_t hash = WordCache::hash(piece, bytes);
    WordCache::Slot& slot = cache.slot(hash);
    if (WordCache::holds(slot, hash, piece)) {
      ids.insert(ids.end(), slot.ids, slot.ids + slot.count);
      return;
    }
    start_symbols(piece, bytes, symbols);
    merge_symbols(merges_, symbols);
    WordCache::store(slot, hash, piece, symbols);
  }
  ids.insert(ids.end(), symbols.begin(), symbols.end());
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
    } else if (!(byte_fallback_ && start_fallback(character, symbols)) && unknown_) {
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

std::unique_ptr<TokenModel> make_token_model(const Config& config) {
  if (config.is_null()) config.fail("expected a tokenizer model, found none");
  // Files written before "type" existed hold merges if and only if the model is BPE.
  std::string type = config.string("type", config.has("merges") ? "BPE" : "");
  if (type == "BPE") return std::make_unique<BpeModel>(config);
  config.unimplemented("tokenizer model", type);
}

}  // namespace masbak::models

#include "models/tokenizer/unigram.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "models/tokenizer/byte_alphabet.h"
#include "models/tokenizer/unicode.h"
#include "models/tokenizer/word_cache.h"

namespace masbak::models {
namespace {

// How much less probable than the rarest token an unknown character is.
constexpr double kUnknownPenalty = 10.0;

// The best way to reach a place in the word.
struct Arrival {
  double score = 0;
  uint32_t from = 0;
  int32_t id = -1;  // of the token that ends here; -1: not reached
};

}  // namespace

UnigramModel::UnigramModel(const Config& config) : owner_(WordCache::next_owner()) {
  byte_fallback_ = config.boolean("byte_fallback", false);
  read_scores(config.child("vocab"));
  if (config.has("unk_id")) {
    const int64_t unknown = config.integer("unk_id");
    if (unknown < 0 || unknown >= static_cast<int64_t>(scores_.size())) {
      config.fail("expected unk_id to be one of the " + std::to_string(scores_.size()) + " tokens, found " +
                  std::to_string(unknown));
    }
    unknown_ = static_cast<int32_t>(unknown);
  }
  for (int byte = 0; byte < 256; ++byte) {
    fallback_ids_[byte] = id(fallback_token(byte)).value_or(-1);
    all_fallback_ = all_fallback_ && fallback_ids_[byte] >= 0;
  }
}

void UnigramModel::read_scores(const Config& list) {
  const TokenizerJson& json = list.json();
  if (!json.is_array()) list.fail(std::string("expected a list of [token, score], found ") + json.type_name());
  scores_.reserve(json.size());
  double least = std::numeric_limits<double>::infinity();
  for (const TokenizerJson& entry : json) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number()) {
      list.item(scores_.size()).fail("expected [token, score], found " + entry.dump());
    }
    const double score = entry[1].get<double>();
    if (!std::isfinite(score)) list.item(scores_.size()).fail("expected a finite score, found " + entry[1].dump());
    vocabulary_.add(entry[0].get_ref<const std::string&>(), static_cast<int32_t>(scores_.size()));
    scores_.push_back(score);
    least = std::min(least, score);
  }
  unknown_score_ = least - kUnknownPenalty;
  std::vector<std::pair<std::string_view, int32_t>> keys;
  keys.reserve(vocabulary_.ids().size());
  for (const auto& [token, id] : vocabulary_.ids()) keys.emplace_back(token, id);
  trie_ = ByteTrie(std::move(keys));
}

void UnigramModel::encode(std::string_view piece, bool bytes, std::vector<int32_t>& ids) const {
  if (piece.empty()) return;
  auto compute = [&](std::string_view word, std::vector<int32_t>& out) {
    encode_word(bytes ? to_byte_alphabet(word) : word, out);
  };
  if (!WordCache::fits(piece)) return compute(piece, ids);
  WordCache::of_thread(owner_).encode(piece, bytes, ids, compute);
}

void UnigramModel::encode_word(std::string_view piece, std::vector<int32_t>& ids) const {
  thread_local std::vector<Arrival> best;
  best.assign(piece.size() + 1, Arrival());
  for (size_t at = 0; at < piece.size();) {
    size_t next = at;
    next_code_point(piece, next);
    const double here = best[at].score;
    auto arrive = [&](size_t end, double score, int32_t id) {
      Arrival& there = best[end];
      if (there.id < 0 || score > there.score) there = {score, static_cast<uint32_t>(at), id};
    };
    bool single = false;
    uint32_t node = ByteTrie::kRoot;
    for (size_t i = at; i < piece.size(); ++i) {
      node = trie_.step(node, static_cast<unsigned char>(piece[i]));
      if (node == ByteTrie::kNone) break;
      const int32_t id = trie_.value(node);
      if (id < 0) continue;
      arrive(i + 1, here + scores_[static_cast<size_t>(id)], id);
      single = single || i + 1 == next;
    }
    if (!single) {
      if (unknown_ < 0) {
        base::fail_input("expected a tokenizer with an unknown token, since the text has \"" +
                         std::string(piece.substr(at, next - at)) + "\", which is no token; found none");
      }
      arrive(next, here + unknown_score_, unknown_);
    }
    at = next;
  }
  // Back along the best path; neighbouring unknown parts become one token.
  thread_local std::vector<std::string_view> tokens;
  tokens.clear();
  bool unknown_before = false;
  for (size_t end = piece.size(); end > 0; end = best[end].from) {
    const Arrival& arrival = best[end];
    const bool unknown = arrival.id == unknown_;
    if (unknown && unknown_before) {
      tokens.back() = {piece.data() + arrival.from, tokens.back().size() + (end - arrival.from)};
    } else {
      tokens.push_back(piece.substr(arrival.from, end - arrival.from));
    }
    unknown_before = unknown;
  }
  for (size_t i = tokens.size(); i-- > 0;) append_token(tokens[i], ids);
}

void UnigramModel::append_token(std::string_view token, std::vector<int32_t>& ids) const {
  const uint32_t node = trie_.walk(ByteTrie::kRoot, token);
  if (node != ByteTrie::kNone && trie_.value(node) >= 0) {
    ids.push_back(trie_.value(node));
    return;
  }
  const bool has_tokens = byte_fallback_ && (all_fallback_ || std::all_of(token.begin(), token.end(), [&](char c) {
                                               return fallback_ids_[static_cast<unsigned char>(c)] >= 0;
                                             }));
  if (!has_tokens) {
    ids.push_back(unknown_);
    return;
  }
  for (char c : token) ids.push_back(fallback_ids_[static_cast<unsigned char>(c)]);
}

}  // namespace masbak::models

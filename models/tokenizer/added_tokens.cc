#include "models/tokenizer/added_tokens.h"

#include <algorithm>

#include "models/tokenizer/unicode.h"
#include "models/tokenizer/unicode_properties.h"
#include "models/tokenizer/vocabulary.h"

namespace masbak::models {
namespace {

bool ends_with_word(std::string_view text) {
  if (text.empty()) return false;
  size_t at = previous_boundary(text, text.size());
  return is_in(CharacterSet::kWord, next_code_point(text, at));
}

bool starts_with_word(std::string_view text) {
  size_t at = 0;
  return !text.empty() && is_in(CharacterSet::kWord, next_code_point(text, at));
}

size_t space_before(std::string_view text, size_t end) {
  while (end > 0) {
    size_t begin = previous_boundary(text, end), at = begin;
    if (!is_white_space(next_code_point(text, at))) break;
    end = begin;
  }
  return end;
}

size_t space_behind(std::string_view text, size_t begin) {
  while (begin < text.size()) {
    size_t at = begin;
    if (!is_white_space(next_code_point(text, at))) break;
    begin = at;
  }
  return begin;
}

}  // namespace

void AddedTokens::Trie::insert(std::string_view text, int32_t id) {
  if (text.empty()) return;
  first[static_cast<unsigned char>(text[0])] = true;
  uint64_t node = 0;
  for (char c : text) {
    uint64_t key = node << 8 | static_cast<unsigned char>(c);
    auto [child, added] = children.try_emplace(key, static_cast<uint32_t>(token.size()));
    if (added) token.push_back(-1);
    node = child->second;
  }
  token[node] = id;
}

size_t AddedTokens::Trie::match(std::string_view text, size_t at, int32_t& id) const {
  size_t end = 0;
  uint64_t node = 0;
  for (size_t i = at; i < text.size(); ++i) {
    auto child = children.find(node << 8 | static_cast<unsigned char>(text[i]));
    if (child == children.end()) break;
    node = child->second;
    if (token[node] >= 0) {
      id = token[node];
      end = i + 1;
    }
  }
  return end;
}

AddedToken read_added_token(const Config& entry) {
  AddedToken token;
  token.content = entry.string("content");
  token.special = entry.boolean("special", false);
  token.single_word = entry.boolean("single_word", false);
  token.lstrip = entry.boolean("lstrip", false);
  token.rstrip = entry.boolean("rstrip", false);
  token.normalized = entry.boolean("normalized", !token.special);
  return token;
}

void AddedTokens::add_all(const Config& tokenizer) {
  if (!tokenizer.has("added_tokens")) return;
  std::vector<AddedToken> tokens;
  std::unordered_map<int64_t, std::string> owners;
  for (const Config& entry : tokenizer.list("added_tokens")) {
    AddedToken token = read_added_token(entry);
    const int64_t id = entry.integer("id");
    if (id < 0 || id > kLargestTokenId) {
      entry.fail("expected an id from 0 to " + std::to_string(kLargestTokenId) + ", found " + std::to_string(id));
    }
    auto [owner, added] = owners.try_emplace(id, token.content);
    if (!added && owner->second != token.content) {
      entry.fail("expected an id of its own for each token, found " + std::to_string(id) + " for both \"" +
                 owner->second + "\" and \"" + token.content + "\"");
    }
    tokens.push_back(std::move(token));
  }
  add(tokens);
}

void AddedTokens::add(const std::vector<AddedToken>& tokens) {
  const int32_t model_size = static_cast<int32_t>(model_.size());
  const int32_t last = tokens_.empty() ? -1 : tokens_.rbegin()->first;
  int32_t next = last >= model_size ? last + 1 : model_size;
  for (const AddedToken& token : tokens) {
    if (token.content.empty()) continue;
    auto known = id(token.content);
    if (known && tokens_.contains(*known) && tokens_.at(*known) == token) continue;
    if (!known) known = model_.id(token.content);
    const int32_t number = known ? *known : next++;
    if (token.normalized && normalizer_ != nullptr) {
      std::string form = normalizer_->apply(token.content);
      if (form != token.content) normal_forms_[number] = std::move(form);
    }
    ids_[token.content] = number;
    if (token.special) special_.insert(token.content);
    tokens_[number] = token;
  }
  raw_ = {};
  normalized_ = {};
  for (const auto& [number, token] : tokens_) {
    (token.normalized ? normalized_ : raw_).insert(token.normalized ? *decoded(number) : token.content, number);
  }
}

std::vector<AddedSplit> AddedTokens::split(std::string_view text, bool normalized) const {
  const Trie& trie = normalized ? normalized_ : raw_;
  std::vector<AddedSplit> parts;
  size_t done = 0;
  for (size_t at = 0; !trie.empty() && at < text.size();) {
    int32_t id = -1;
    size_t end = trie.first[static_cast<unsigned char>(text[at])] ? trie.match(text, at, id) : 0;
    if (end == 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_.at(id);
    size_t begin = at;
    at = end;  // the search goes on behind a match even if the match is refused below
    if (split_special_tokens_ && special_.contains(token.content)) continue;
    if (token.single_word && (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end)))) continue;
    if (token.lstrip) begin = std::max(space_before(text, begin), done);
    if (token.rstrip) end = space_behind(text, end);
    if (begin < done) begin = done;
    if (begin > done) parts.push_back({done, begin, -1});
    parts.push_back({begin, end, id});
    done = end;
    at = std::max(at, end);
  }
  if (done < text.size()) parts.push_back({done, text.size(), -1});
  return parts;
}

const std::string* AddedTokens::decoded(int32_t id) const {
  auto found = tokens_.find(id);
  if (found == tokens_.end()) return nullptr;
  auto form = normal_forms_.find(id);
  return form == normal_forms_.end() ? &found->second.content : &form->second;
}

std::optional<int32_t> AddedTokens::id(std::string_view content) const {
  auto found = ids_.find(std::string(content));
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace masbak::models

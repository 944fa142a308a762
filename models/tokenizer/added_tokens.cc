#include "models/tokenizer/added_tokens.h"

#include <algorithm>

#include "models/tokenizer/unicode.h"

namespace masbak::models {
namespace {

bool ends_with_word(std::string_view text) {
  if (text.empty()) return false;
  size_t at = previous_boundary(text, text.size());
  return is_word(next_code_point(text, at));
}

bool starts_with_word(std::string_view text) {
  size_t at = 0;
  return !text.empty() && is_word(next_code_point(text, at));
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

void AddedTokens::Trie::insert(std::string_view text, int32_t index) {
  if (text.empty()) return;
  first[static_cast<unsigned char>(text[0])] = true;
  uint64_t node = 0;
  for (char c : text) {
    uint64_t key = node << 8 | static_cast<unsigned char>(c);
    auto [child, added] = children.try_emplace(key, static_cast<uint32_t>(token.size()));
    if (added) token.push_back(-1);
    node = child->second;
  }
  token[node] = index;
}

size_t AddedTokens::Trie::match(std::string_view text, size_t at, int32_t& index) const {
  size_t end = 0;
  uint64_t node = 0;
  for (size_t i = at; i < text.size(); ++i) {
    auto child = children.find(node << 8 | static_cast<unsigned char>(text[i]));
    if (child == children.end()) break;
    node = child->second;
    if (token[node] >= 0) {
      index = token[node];
      end = i + 1;
    }
  }
  return end;
}

AddedTokens::AddedTokens(const Config& tokenizer, const TokenModel& model, const Normalizer* normalizer) {
  if (!tokenizer.has("added_tokens")) return;
  for (const Config& entry : tokenizer.list("added_tokens")) {
    AddedToken token;
    token.content = entry.string("content");
    if (token.content.empty()) continue;
    int64_t id = entry.integer("id");
    if (id < 0 || id > 100'000'000) entry.fail("expected an id from 0 to 100000000, found " + std::to_string(id));
    // The model's own id wins, as in tokenizers.
    token.id = model.id(token.content).value_or(static_cast<int32_t>(id));
    token.special = entry.boolean("special", false);
    token.single_word = entry.boolean("single_word", false);
    token.lstrip = entry.boolean("lstrip", false);
    token.rstrip = entry.boolean("rstrip", false);
    token.normalized = entry.boolean("normalized", !token.special);
    int32_t index = static_cast<int32_t>(tokens_.size());
    std::string form = token.normalized && normalizer ? normalizer->apply(token.content) : token.content;
    (token.normalized ? normalized_ : raw_).insert(form, index);
    if (token.special) special_.insert(token.id);
    by_id_[token.id] = tokens_.size();
    by_content_[token.content] = token.id;
    decoded_.push_back(std::move(form));
    tokens_.push_back(std::move(token));
  }
}

std::vector<AddedSplit> AddedTokens::split(std::string_view text, bool normalized) const {
  const Trie& trie = normalized ? normalized_ : raw_;
  std::vector<AddedSplit> parts;
  size_t done = 0;
  for (size_t at = 0; !trie.empty() && at < text.size();) {
    int32_t index = -1;
    size_t end = trie.first[static_cast<unsigned char>(text[at])] ? trie.match(text, at, index) : 0;
    if (end == 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[static_cast<size_t>(index)];
    size_t begin = at;
    at = end;  // the search goes on behind a match even if the match is refused below
    if (token.single_word && (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end)))) continue;
    if (token.lstrip) begin = std::max(space_before(text, begin), done);
    if (token.rstrip) end = space_behind(text, end);
    if (begin < done) begin = done;
    if (begin > done) parts.push_back({done, begin, -1});
    parts.push_back({begin, end, token.id});
    done = end;
    at = std::max(at, end);
  }
  if (done < text.size()) parts.push_back({done, text.size(), -1});
  return parts;
}

const AddedToken* AddedTokens::find(int32_t id) const {
  auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &tokens_[found->second];
}

const std::string* AddedTokens::decoded(int32_t id) const {
  auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &decoded_[found->second];
}

std::optional<int32_t> AddedTokens::id(std::string_view content) const {
  auto found = by_content_.find(std::string(content));
  return found == by_content_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace masbak::models

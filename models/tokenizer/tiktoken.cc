#include "models/tokenizer/tiktoken.h"

#include <algorithm>
#include <charconv>
#include <unordered_map>
#include <unordered_set>

#include "models/tokenizer/base64.h"
#include "models/tokenizer/byte_alphabet.h"
#include "models/tokenizer/vocabulary.h"

namespace masbak::models {
namespace {

// No token is longer; the merges of one grow with the square of its length.
constexpr size_t kLongestToken = 1024;

// Llama 3's, and what transformers takes where nothing else is said.
constexpr const char* kGeneralPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
// moonshotai/Kimi-K2-Instruct and Moonlight, tokenization_kimi.py.
constexpr const char* kKimiPattern =
    R"([\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+)"
    R"([\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr size_t kKimiReserved = 256 + 2;

[[noreturn]] void fail_line(const std::string& file, int line, const std::string& found) {
  base::fail_input(
      "expected a token in base64 and its rank, found " + found + "; take the file from the model's publisher again",
      {.file = file, .line = line});
}

// Every way to make a token of two others, ranked by the token and then by the ranks of the two.
TokenizerJson merges_of(const std::vector<std::string>& tokens) {
  std::unordered_map<std::string_view, size_t> ranks;
  ranks.reserve(tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) ranks[tokens[i]] = i;
  TokenizerJson merges = TokenizerJson::array();
  std::vector<std::pair<size_t, size_t>> ways;
  for (const std::string_view token : tokens) {
    ways.clear();
    for (size_t at = 1; at < token.size(); ++at) {
      auto left = ranks.find(token.substr(0, at)), right = ranks.find(token.substr(at));
      if (left != ranks.end() && right != ranks.end()) ways.emplace_back(left->second, right->second);
    }
    std::stable_sort(ways.begin(), ways.end());
    for (const auto& [left, right] : ways) {
      merges.push_back({to_byte_alphabet(tokens[left]), to_byte_alphabet(tokens[right])});
    }
  }
  return merges;
}

std::string reserved_name(size_t id) { return "<|reserved_token_" + std::to_string(id) + "|>"; }

// Special tokens with ids from the last rank on: named by added_tokens_decoder, or reserved.
TokenizerJson special_tokens(size_t first, size_t last, const SpecialNames& names) {
  TokenizerJson list = TokenizerJson::array();
  for (size_t id = first; id < last; ++id) {
    auto named = names.decoder.find(static_cast<int64_t>(id));
    list.push_back({{"id", id},
                    {"content", named == names.decoder.end() ? reserved_name(id) : named->second.content},
                    {"special", true},
                    {"normalized", false}});
  }
  return list;
}

}  // namespace

std::vector<std::string> parse_tiktoken(std::string_view text, const std::string& file) {
  std::vector<std::string> tokens;
  std::unordered_set<std::string> seen;
  int line = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view row = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++line;
    if (row.ends_with('\r')) row.remove_suffix(1);
    if (row.empty()) continue;
    const size_t space = row.find(' ');
    if (space == std::string_view::npos) fail_line(file, line, "one word");
    auto token = decode_base64(row.substr(0, space));
    const std::string_view digits = row.substr(space + 1);
    uint32_t rank = 0;
    auto [rest, error] = std::from_chars(digits.data(), digits.data() + digits.size(), rank);
    if (!token || token->empty() || token->size() > kLongestToken) fail_line(file, line, "no such token");
    if (error != std::errc() || rest != digits.data() + digits.size()) fail_line(file, line, "no such rank");
    if (rank != tokens.size()) {
      fail_line(file, line, "rank " + std::to_string(rank) + " where " + std::to_string(tokens.size()) + " follows");
    }
    if (!seen.insert(*token).second) fail_line(file, line, "a token that an earlier line has");
    tokens.push_back(std::move(*token));
  }
  for (int byte = 0; byte < 256; ++byte) {
    if (!seen.contains(std::string(1, static_cast<char>(byte)))) {
      fail_line(file, line, "the end of the file and no token for byte " + std::to_string(byte));
    }
  }
  return tokens;
}

TokenizerJson tiktoken_document(const std::vector<std::string>& tokens, const std::string& file,
                                const SpecialNames& names) {
  const std::string& kind = names.tokenizer_class;
  const bool kimi = kind == "TikTokenTokenizer";
  if (!kimi && !kind.empty() && kind != "TokenizersBackend" && kind != "PreTrainedTokenizer") {
    throw base::Error(base::Code::kUnimplemented,
                      "a tiktoken file for tokenizer class \"" + kind +
                          "\" is not implemented; save the tokenizer with transformers, which writes tokenizer.json",
                      {.file = file, .field = "tokenizer_class"});
  }
  TokenizerJson vocabulary = TokenizerJson::object();
  for (size_t i = 0; i < tokens.size(); ++i) vocabulary[to_byte_alphabet(tokens[i])] = i;
  size_t last = tokens.size() + (kimi ? kKimiReserved : 0);
  if (!kimi && !names.decoder.empty()) {
    last = std::max(last, static_cast<size_t>(std::min<int64_t>(names.decoder.rbegin()->first, kLargestTokenId) + 1));
    if (last > tokens.size() + 1'000'000) {
      base::fail_input("expected ids near the " + std::to_string(tokens.size()) + " tokens of the file, found " +
                           std::to_string(last - 1),
                       {.file = file, .field = "added_tokens_decoder"});
    }
  }
  const TokenizerJson split = {{"type", "Split"},
                               {"pattern", {{"Regex", kimi ? kKimiPattern : kGeneralPattern}}},
                               {"behavior", "Isolated"},
                               {"invert", false}};
  const TokenizerJson bytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  return {{"model",
           {{"type", "BPE"},
            {"vocab", std::move(vocabulary)},
            {"merges", merges_of(tokens)},
            {"ignore_merges", true},
            {"rank_is_id", kimi}}},
          {"added_tokens", special_tokens(tokens.size(), last, names)},
          {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {split, bytes}}}},
          {"decoder", {{"type", "ByteLevel"}}}};
}

}  // namespace masbak::models

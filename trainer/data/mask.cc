#include "trainer/data/mask.h"

#include <algorithm>

#include "base/error.h"

namespace masbak::trainer {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD: how decode shows half a character
constexpr size_t kMostTokensOfACharacter = 16;

// The pieces between the borders, tokenised one by one: the common case, in which every border is also a
// border of tokens. False if the whole text has other tokens.
bool mask_by_pieces(const MaskedText& masked, const models::Tokenizer& tokenizer, TokenMask* result) {
  const std::string_view text = masked.text;
  std::vector<int32_t> ids;
  std::vector<bool> trained;
  const auto append = [&](size_t begin, size_t end, bool train) {
    if (begin == end) return;
    const std::vector<int32_t> piece = tokenizer.encode(text.substr(begin, end - begin));
    ids.insert(ids.end(), piece.begin(), piece.end());
    trained.insert(trained.end(), piece.size(), train);
  };
  size_t at = 0;
  for (const auto& [begin, end] : masked.answers) {
    append(at, begin, false);
    append(begin, end, true);
    at = end;
  }
  append(at, text.size(), false);
  if (ids != result->ids) return false;
  result->trained = std::move(trained);
  return true;
}

// The bytes that the token at `index` stands for, if decoding continues `text` at `at`; with tokens that
// are parts of one character, the whole group of them. Returns the number of tokens, 0 if none fits.
size_t trace(const std::vector<int32_t>& ids, size_t index, std::string_view text, size_t at,
             const models::Tokenizer& tokenizer, size_t* bytes) {
  std::vector<int32_t> group;
  for (size_t n = 1; n <= kMostTokensOfACharacter && index + n <= ids.size(); ++n) {
    group.push_back(ids[index + n - 1]);
    const std::string decoded = tokenizer.decode(group);
    if (text.substr(at).starts_with(decoded) && !decoded.empty()) {
      *bytes = decoded.size();
      return n;
    }
    if (decoded.find(kReplacement) == std::string::npos) return 0;
  }
  return 0;
}

void mask_by_decoding(const MaskedText& masked, const models::Tokenizer& tokenizer, TokenMask* result) {
  const std::vector<int32_t>& ids = result->ids;
  size_t at = 0;
  auto answer = masked.answers.begin();
  for (size_t index = 0; index < ids.size();) {
    size_t bytes = 0;
    const size_t count = trace(ids, index, masked.text, at, tokenizer, &bytes);
    if (count == 0) {
      base::fail_input("cannot tell which tokens the answer has: the tokeniser does not give the text back at byte " +
                       std::to_string(at) + " of the rendered chat; set assistant_only_loss: false");
    }
    while (answer != masked.answers.end() && answer->second <= at) ++answer;
    const bool train = answer != masked.answers.end() && answer->first < at + bytes;
    result->trained.insert(result->trained.end(), count, train);
    index += count;
    at += bytes;
  }
}

}  // namespace

TokenMask tokenize_with_mask(const MaskedText& masked, const models::Tokenizer& tokenizer) {
  TokenMask result;
  result.ids = tokenizer.encode(masked.text);
  if (!mask_by_pieces(masked, tokenizer, &result)) mask_by_decoding(masked, tokenizer, &result);
  return result;
}

}  // namespace masbak::trainer

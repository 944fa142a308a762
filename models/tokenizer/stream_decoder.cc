#include <string_view>

#include "models/tokenizer/tokenizer.h"
#include "models/tokenizer/unicode.h"

namespace masbak::models {
namespace {

// What `whole` has behind the length of `before`, from a whole character on: a decoder may have changed what went
// out already.
std::string rest_of(const std::string& whole, const std::string& before) {
  size_t at = before.size();
  while (at < whole.size() && (static_cast<unsigned char>(whole[at]) & 0xC0) == 0x80) ++at;
  return at < whole.size() ? whole.substr(at) : "";
}

bool ends_in_replacement(std::string_view text) { return text.ends_with("\uFFFD"); }

// Ids that are kept as context at most: a run that never becomes text must not make each step slower.
constexpr size_t kLongestWait = 64;

}  // namespace

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens)
    : tokenizer_(tokenizer), skip_special_tokens_(skip_special_tokens) {}

// A token's text depends on its neighbours (leading spaces, characters of several tokens). So ids from
// prefix_ on are decoded twice, with and without those behind read_, and the difference is what is new.
std::string StreamDecoder::push(int32_t id) {
  ids_.push_back(id);
  std::string whole =
      tokenizer_.decode({ids_.begin() + static_cast<std::ptrdiff_t>(prefix_), ids_.end()}, skip_special_tokens_);
  std::string before = tokenizer_.decode(
      {ids_.begin() + static_cast<std::ptrdiff_t>(prefix_), ids_.begin() + static_cast<std::ptrdiff_t>(read_)},
      skip_special_tokens_);
  if (whole.size() <= before.size()) return "";
  if (ends_in_replacement(whole) && ids_.size() - read_ < kLongestWait) return "";
  prefix_ = read_;
  read_ = ids_.size();
  if (prefix_ > kLongestWait * 4) {  // ids before prefix_ are never decoded again
    ids_.erase(ids_.begin(), ids_.begin() + static_cast<std::ptrdiff_t>(prefix_));
    read_ -= prefix_;
    prefix_ = 0;
  }
  return rest_of(whole, before);
}

std::string StreamDecoder::finish() {
  std::string whole =
      tokenizer_.decode({ids_.begin() + static_cast<std::ptrdiff_t>(prefix_), ids_.end()}, skip_special_tokens_);
  std::string before = tokenizer_.decode(
      {ids_.begin() + static_cast<std::ptrdiff_t>(prefix_), ids_.begin() + static_cast<std::ptrdiff_t>(read_)},
      skip_special_tokens_);
  ids_.clear();
  prefix_ = read_ = 0;
  return rest_of(whole, before);
}

}  // namespace masbak::models

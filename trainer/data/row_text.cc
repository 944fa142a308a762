#include "trainer/data/row_text.h"

#include <algorithm>

namespace masbak::trainer {
namespace {

constexpr std::string_view kBlank = " \t\r\n";
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

std::vector<RowText> split_lines(std::string_view bytes) {
  std::vector<RowText> rows;
  int line = 1;
  for (size_t begin = 0; begin < bytes.size(); ++line) {
    const size_t end = std::min(bytes.find('\n', begin), bytes.size());
    const std::string_view text = trimmed(bytes.substr(begin, end - begin));
    if (!text.empty()) rows.push_back({line, text});
    begin = end + 1;
  }
  return rows;
}

// Cuts an array at the commas of its first level.
class ArraySplitter {
 public:
  explicit ArraySplitter(std::string_view bytes) : bytes_(bytes) {}

  std::vector<RowText> split() {
    at_ = bytes_.find('[');
    advance_line(0, at_);
    begin_ = ++at_;
    for (; at_ < bytes_.size(); ++at_) {
      if (step()) return std::move(rows_);
    }
    // The array never closes. The "[" is given back to a file without a row, so that the fault is seen.
    if (rows_.empty() && trimmed(bytes_.substr(begin_)).empty()) --begin_;
    add_row(bytes_.size());
    return std::move(rows_);
  }

 private:
  // Takes one byte. True at the end of the array.
  bool step() {
    const char c = bytes_[at_];
    if (in_string_) {
      if (c == '\\') ++at_;
      if (c == '"') in_string_ = false;
      return false;
    }
    if (c == '"') in_string_ = true;
    if (c == '{' || c == '[') ++depth_;
    if (c == '}' || (c == ']' && depth_ > 0)) {
      depth_ = std::max(0, depth_ - 1);
    } else if (c == ',' && depth_ == 0) {
      add_row(at_);
      begin_ = at_ + 1;
      after_comma_ = true;
    } else if (c == ']') {
      const bool text_follows = !trimmed(bytes_.substr(at_ + 1)).empty();
      add_row(text_follows ? bytes_.size() : at_);
      return true;
    }
    return false;
  }

  void add_row(size_t end) {
    const std::string_view raw = bytes_.substr(begin_, end - begin_);
    const std::string_view text = trimmed(raw);
    const size_t offset = text.empty() ? 0 : static_cast<size_t>(text.data() - raw.data());
    advance_line(counted_, begin_ + offset);
    // An empty array has no row; a comma with nothing before or after it is a row, and a bad one.
    const bool beside_comma = after_comma_ || (end < bytes_.size() && bytes_[end] == ',');
    if (!text.empty() || beside_comma) rows_.push_back({line_, text});
  }

  void advance_line(size_t from, size_t to) {
    line_ += static_cast<int>(std::count(bytes_.begin() + from, bytes_.begin() + to, '\n'));
    counted_ = to;
  }

  std::string_view bytes_;
  std::vector<RowText> rows_;
  size_t at_ = 0, begin_ = 0, counted_ = 0;
  int line_ = 1, depth_ = 0;
  bool in_string_ = false, after_comma_ = false;
};

}  // namespace

std::vector<RowText> split_rows(std::string_view bytes) {
  if (bytes.starts_with(kByteOrderMark)) bytes.remove_prefix(kByteOrderMark.size());
  const size_t first = bytes.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return bytes[first] == '[' ? ArraySplitter(bytes).split() : split_lines(bytes);
}

}  // namespace masbak::trainer

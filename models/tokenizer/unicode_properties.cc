#include "models/tokenizer/unicode_properties.h"

#include <algorithm>
#include <vector>

#include "models/tokenizer/unicode.h"

namespace masbak::models {
namespace {

// The row that may hold the point.
template <typename Row>
const Row* find_row(std::span<const Row> rows, char32_t point) {
  auto behind = std::upper_bound(rows.begin(), rows.end(), point,
                                 [](char32_t value, const Row& row) { return value < row.first; });
  if (behind == rows.begin()) return nullptr;
  const Row& row = *std::prev(behind);
  return point <= row.last ? &row : nullptr;
}

uint8_t category_of(char32_t point) {
  if (const CategoryRange* row = find_row(category_changes(), point)) return row->category;
  return static_cast<uint8_t>(utf8proc_category(static_cast<utf8proc_int32_t>(point)));
}

bool between(uint8_t category, utf8proc_category_t first, utf8proc_category_t last) {
  return category >= first && category <= last;
}

}  // namespace

bool contains(std::span<const CodeRange> ranges, char32_t point) { return find_row(ranges, point) != nullptr; }

void append_reference_lower(std::string& out, char32_t point) {
  if (point < 0x80) {
    out += static_cast<char>(point >= 'A' && point <= 'Z' ? point + 32 : point);
    return;
  }
  const auto changes = lower_changes();
  auto row = std::lower_bound(changes.begin(), changes.end(), point,
                              [](const CasePair& pair, char32_t value) { return pair.upper < value; });
  if (row != changes.end() && row->upper == point) return append_utf8(out, row->lower);
  append_lower(out, point);
}

char32_t pattern_proxy(char32_t point) {
  const ProxyRange* row = find_row(pattern_proxies(), point);
  return row == nullptr ? point : row->proxy;
}

uint16_t compute_properties(char32_t point) {
  const uint8_t category = category_of(point);
  uint16_t bits = category;
  auto set = [&](CharacterSet name, bool by_category, std::span<const CodeRange> changes) {
    if (by_category != contains(changes, point)) bits |= static_cast<uint16_t>(1u << (5 + static_cast<int>(name)));
  };
  const bool mark = between(category, UTF8PROC_CATEGORY_MN, UTF8PROC_CATEGORY_ME);
  const bool letter = between(category, UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_LO);
  const bool number = between(category, UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_NO);
  const bool word = letter || mark || category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_PC;
  const bool ascii_mark = point > 0x20 && point < 0x7F && !letter && !number;
  const bool punctuation = ascii_mark || between(category, UTF8PROC_CATEGORY_PC, UTF8PROC_CATEGORY_PO);
  const bool control =
      category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF || category == UTF8PROC_CATEGORY_CO;
  set(CharacterSet::kNumeric, number, numeric_changes());
  set(CharacterSet::kPunctuation, punctuation, punctuation_changes());
  set(CharacterSet::kWord, word, word_changes());
  set(CharacterSet::kPatternWord, word, pattern_word_changes());
  set(CharacterSet::kAccent, mark, accent_changes());
  set(CharacterSet::kBertAccent, category == UTF8PROC_CATEGORY_MN, bert_accent_changes());
  set(CharacterSet::kBertControl, control, bert_control_changes());
  set(CharacterSet::kUnknownToPcre2, find_row(pattern_proxies(), point) != nullptr, {});
  return bits;
}

const std::vector<char32_t>& property_edges() {
  static const std::vector<char32_t> edges = [] {
    std::vector<char32_t> points{0};
    for (char32_t point = 1; point < kTabledPoints; ++point) {
      if (properties(point) != properties(point - 1)) points.push_back(point);
    }
    return points;
  }();
  return edges;
}

const uint16_t* property_table() {
  static const std::vector<uint16_t> table = [] {
    std::vector<uint16_t> rows(kTabledPoints);
    for (char32_t point = 0; point < kTabledPoints; ++point) rows[point] = compute_properties(point);
    return rows;
  }();
  return table.data();
}

}  // namespace masbak::models

#include "trainer/data/csv.h"

#include <algorithm>
#include <array>
#include <set>

#include "base/error.h"
#include "base/text.h"
#include "trainer/data/format.h"

namespace masbak::trainer {
namespace {

using base::Json;

constexpr std::array kSeparators{',', ';', '\t', '|'};

// Cells of these fields hold JSON; of the others, text that may begin with a bracket.
constexpr std::array<std::string_view, 6> kJsonFields{"messages", "conversations", "tools",
                                                      "history",  "input_ids",     "labels"};
constexpr std::array<std::string_view, 4> kTextOrMessages{"prompt", "chosen", "rejected", "completion"};

template <typename List>
bool one_of(std::string_view field, const List& list) {
  return std::find(list.begin(), list.end(), field) != list.end();
}

std::string separator_words(char separator) { return separator == '\t' ? "tabs" : std::string("'") + separator + "'"; }

class CsvRows final : public RowSource {
 public:
  CsvRows(ByteStream bytes, std::string name, char separator)
      : bytes_(std::move(bytes)), name_(std::move(name)), separator_(separator) {
    RawRow header;
    if (!next(&header)) return;
    for (std::string& cell : header.cells) {
      cell.erase(cell.find_last_not_of(" \t") + 1);
      cell.erase(0, cell.find_first_not_of(" \t"));
    }
    check_header(header);
    header_ = std::move(header.cells);
  }

  std::string kind() const override { return "CSV with " + separator_words(separator_) + " between the cells"; }

  bool next(RawRow* row) override {
    for (;;) {
      *row = RawRow();
      row->line = bytes_.line();
      if (bytes_.peek() == ByteStream::kEnd) return false;
      take_record(row);
      const bool blank = row->cells.size() == 1 && row->cells[0].empty() && row->fault.empty();
      if (!blank) return true;
    }
  }

  Json parse(const RawRow& row) const override {
    if (!row.fault.empty()) base::fail_input(row.fault, {name_, row.line, ""});
    if (row.cells.size() != header_.size()) {
      base::fail_input("expected " + std::to_string(header_.size()) + " cells as the header has, found " +
                           std::to_string(row.cells.size()) +
                           "; put cells that hold a separator, a quote or a line "
                           "break in double quotes",
                       {name_, row.line, row.cells.size() < header_.size() ? header_[row.cells.size()] : ""});
    }
    Json result = Json::object();
    for (size_t i = 0; i < header_.size(); ++i) {
      if (!row.cells[i].empty()) result[header_[i]] = value_of(row.cells[i], header_[i], row.line);
    }
    return result;
  }

 private:
  // One record: cells between separators, up to a line break outside quotes.
  void take_record(RawRow* row) {
    std::string cell;
    size_t bytes = 0;
    for (bool more = true; more;) {
      cell.clear();
      const int end = bytes_.peek() == '"' ? take_quoted(row, &cell, &bytes) : take_plain(row, &cell, &bytes);
      row->cells.push_back(cell);
      more = end == separator_;
    }
    if (!row->fault.empty()) row->cells.clear();
  }

  // Both give back the byte that ended the cell, which is taken.
  int take_plain(RawRow* row, std::string* cell, size_t* bytes) {
    for (;;) {
      int byte = bytes_.get();
      if (byte == '\r' && bytes_.peek() == '\n') byte = bytes_.get();
      if (byte == ByteStream::kEnd || byte == '\n' || byte == separator_) return byte;
      keep(row, cell, byte, bytes);
    }
  }

  int take_quoted(RawRow* row, std::string* cell, size_t* bytes) {
    const int line = bytes_.line();
    bytes_.get();
    for (;;) {
      const int byte = bytes_.get();
      if (byte == ByteStream::kEnd) {
        row->fault = "the quote that opens in line " + std::to_string(line) +
                     " is never closed: everything from there to line " + std::to_string(bytes_.line()) +
                     " is one cell; double the quotes inside a cell (\"\")";
        return byte;
      }
      if (byte == '"') {
        if (bytes_.peek() != '"') break;
        bytes_.get();
      }
      keep(row, cell, byte, bytes);
    }
    std::string rest;
    const int end = take_plain(row, &rest, bytes);
    if (!rest.empty() && row->fault.empty()) {
      row->fault = "expected a separator or a line break after the closing quote of the cell that begins in line " +
                   std::to_string(line) + ", found '" + base::shortened(base::with_valid_utf8(rest), 20) +
                   "'; double the quotes inside a cell (\"\")";
    }
    return end;
  }

  static void keep(RawRow* row, std::string* cell, int byte, size_t* bytes) {
    if (++*bytes > kMostRowBytes) {
      if (row->fault.empty()) {
        row->fault = "expected a row of at most " + std::to_string(kMostRowBytes >> 20) + " MiB, found a longer one";
        cell->clear();
      }
      return;
    }
    cell->push_back(static_cast<char>(byte));
  }

  void check_header(const RawRow& header) const {
    if (!header.fault.empty()) base::fail_input(header.fault, {name_, header.line, ""});
    std::set<std::string> seen;
    for (size_t i = 0; i < header.cells.size(); ++i) {
      const std::string& cell = header.cells[i];
      const std::string place = "column " + std::to_string(i + 1);
      if (cell.empty()) {
        base::fail_input("expected a name for each column in the first line, found none for " + place,
                         {name_, header.line, place});
      }
      if (base::find_invalid_utf8(cell) != std::string::npos) {
        base::fail_input("expected UTF-8 in the first line; save the file as UTF-8", {name_, header.line, place});
      }
      if (!seen.insert(cell).second) {
        base::fail_input("the column '" + cell + "' appears twice in the first line; keep one of them",
                         {name_, header.line, cell});
      }
    }
  }

  // Lists, objects and booleans of a cell are what they say; everything else is text.
  Json value_of(const std::string& cell, const std::string& field, int line) const {
    if (const size_t bad = base::find_invalid_utf8(cell); bad != std::string::npos) {
      base::fail_input(
          "expected UTF-8, found byte " + std::to_string(bad + 1) + " of the cell that is not; save the file as UTF-8",
          {name_, line, field});
    }
    const bool opens = cell.front() == '[' || cell.front() == '{';
    if (opens && one_of(field, kJsonFields)) {
      try {
        return base::parse_json(cell, name_, line);
      } catch (const base::Error& error) {
        base::fail_input(error.what(), {name_, error.where().line, field});
      }
    }
    if (opens && one_of(field, kTextOrMessages)) {
      Json value = Json::parse(cell, nullptr, false);
      if (!value.is_discarded()) return value;
    }
    if (field == "label") {
      std::string lower = cell;
      std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
      if (lower == "true" || lower == "1") return true;
      if (lower == "false" || lower == "0") return false;
    }
    return cell;
  }

  ByteStream bytes_;
  const std::string name_;
  const char separator_;
  std::vector<std::string> header_;
};

}  // namespace

char csv_separator(std::string_view head, char fallback) {
  std::array<int, kSeparators.size()> counts{};
  bool quoted = false;
  for (const char byte : head) {
    if (byte == '"') quoted = !quoted;
    if (quoted) continue;
    if (byte == '\n') break;
    for (size_t i = 0; i < kSeparators.size(); ++i) counts[i] += byte == kSeparators[i] ? 1 : 0;
  }
  const auto most = std::max_element(counts.begin(), counts.end());
  return *most == 0 ? fallback : kSeparators[static_cast<size_t>(most - counts.begin())];
}

bool looks_like_csv(std::string_view head) {
  const char separator = csv_separator(head, ',');
  Json fields = Json::object();
  std::string_view line = head.substr(0, head.find('\n'));
  if (line.find('{') != std::string_view::npos || line.find('[') != std::string_view::npos) return false;
  while (!line.empty()) {
    const size_t end = std::min(line.find(separator), line.size());
    std::string_view cell = line.substr(0, end);
    while (!cell.empty() && (cell.front() == '"' || cell.front() == ' ')) cell.remove_prefix(1);
    while (!cell.empty() && (cell.back() == '"' || cell.back() == ' ' || cell.back() == '\r')) cell.remove_suffix(1);
    if (base::find_invalid_utf8(cell) == std::string_view::npos) fields[std::string(cell)] = true;
    line.remove_prefix(std::min(line.size(), end + 1));
  }
  return detect_format(fields, nullptr) != Format::kAuto;
}

std::unique_ptr<RowSource> open_csv(ByteStream bytes, const std::string& name, char separator) {
  return std::make_unique<CsvRows>(std::move(bytes), name, separator);
}

}  // namespace masbak::trainer

#include "trainer/data/row_source.h"

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "trainer/data/byte_source.h"
#include "trainer/data/csv.h"

namespace masbak::trainer {
namespace {

namespace fs = std::filesystem;
using base::Json;

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
constexpr std::string_view kBlank = " \t\r\n";

bool blank(int byte) { return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n'; }

void trim(std::string* text) {
  text->erase(text->find_last_not_of(kBlank) + 1);
  text->erase(0, text->find_first_not_of(kBlank));
}

std::string too_long() {
  return "expected a row of at most " + std::to_string(kMostRowBytes >> 20) + " MiB, found a longer one";
}

// What both JSON containers share.
class JsonRows : public RowSource {
 public:
  JsonRows(ByteStream bytes, std::string name) : bytes_(std::move(bytes)), name_(std::move(name)) {}

  Json parse(const RawRow& row) const override {
    if (!row.fault.empty()) base::fail_input(row.fault, {name_, row.line, ""});
    if (const size_t bad = base::find_invalid_utf8(row.text); bad != std::string::npos) {
      base::fail_input(
          "expected UTF-8, found byte " + std::to_string(bad + 1) + " of the row that is not; save the file as UTF-8",
          {name_, row.line, ""});
    }
    return base::parse_json(row.text, name_, row.line);
  }

 protected:
  ByteStream bytes_;
  const std::string name_;
};

class JsonLines final : public JsonRows {
 public:
  using JsonRows::JsonRows;
  std::string kind() const override { return "JSON Lines"; }

  bool next(RawRow* row) override {
    for (;;) {
      *row = RawRow();
      row->line = bytes_.line();
      size_t dropped = 0;
      if (!bytes_.get_line(&row->text, kMostRowBytes, &dropped)) return false;
      if (dropped > 0) {
        row->fault = too_long();
        row->text.clear();
        return true;
      }
      trim(&row->text);
      if (!row->text.empty()) return true;
    }
  }
};

// Cuts an array at the commas of its first level.
class JsonArray final : public JsonRows {
 public:
  JsonArray(ByteStream bytes, std::string name) : JsonRows(std::move(bytes), std::move(name)) {
    while (blank(bytes_.peek())) bytes_.get();
    bytes_.get();  // the '['
  }
  std::string kind() const override { return "a JSON array"; }

  bool next(RawRow* row) override {
    *row = RawRow();
    if (ended_) return false;
    while (blank(bytes_.peek())) bytes_.get();
    row->line = bytes_.line();
    depth_ = 0;
    const int end = take_value(row);
    trim(&row->text);
    if (end == ']') {
      finish(row);
    } else if (end == ByteStream::kEnd) {
      ended_ = true;
      // The array never closes: the fault stands in the last row, or is a row of its own.
      if (row->text.empty()) row->text = "[";
      if (row->fault.empty()) {
        row->fault =
            "the JSON array does not end: expected ']' after the last row; the row begins in this line and "
            "reaches to the end of the file in line " +
            std::to_string(bytes_.line());
      }
    } else if (row->text.empty() && row->fault.empty()) {
      row->fault = "expected a row before ',', found none";
    }
    after_comma_ = end == ',';
    // An empty array, and white space before the end, hold no row.
    return !row->text.empty() || !row->fault.empty();
  }

 private:
  // Takes bytes up to the ',' or ']' that ends the value, and that byte; gives it back.
  int take_value(RawRow* row) {
    bool in_string = false, too_many = false;
    for (;;) {
      const int byte = bytes_.get();
      if (byte == ByteStream::kEnd) return byte;
      if (!in_string && depth_ == 0 && (byte == ',' || byte == ']')) return byte;
      if (in_string) {
        if (byte == '\\') {
          keep(row, byte, &too_many);
          const int escaped = bytes_.get();
          if (escaped == ByteStream::kEnd) return escaped;
          keep(row, escaped, &too_many);
          continue;
        }
        in_string = byte != '"';
      } else {
        in_string = byte == '"';
        if (byte == '{' || byte == '[') ++depth_;
        if (byte == '}' || byte == ']') depth_ = std::max(0, depth_ - 1);
      }
      keep(row, byte, &too_many);
    }
  }

  static void keep(RawRow* row, int byte, bool* too_many) {
    if (*too_many) return;
    row->text.push_back(static_cast<char>(byte));
    if (row->text.size() <= kMostRowBytes) return;
    *too_many = true;
    row->text.clear();
    row->fault = too_long();
  }

  void finish(RawRow* row) {
    ended_ = true;
    while (blank(bytes_.peek())) bytes_.get();
    if (bytes_.peek() != ByteStream::kEnd) {
      if (row->text.empty()) row->line = bytes_.line();
      row->fault =
          "expected nothing after the end of the JSON array, found more text in line " + std::to_string(bytes_.line());
    } else if (row->text.empty() && after_comma_ && row->fault.empty()) {
      row->fault = "expected a row after ',', found none";
    }
  }

  int depth_ = 0;
  bool ended_ = false, after_comma_ = false;
};

std::string lower_extension(fs::path file) {
  if (file.extension() == ".gz") file.replace_extension();
  std::string text = file.extension().string();
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

}  // namespace

std::unique_ptr<RowSource> open_rows(const fs::path& file) {
  ByteStream bytes(open_bytes(file));
  if (bytes.head().starts_with(kByteOrderMark)) bytes.skip(kByteOrderMark.size());
  const std::string_view head = bytes.head();
  const std::string extension = lower_extension(file);
  const bool named_csv = extension == ".csv" || extension == ".tsv" || extension == ".tab";
  const bool named_json = extension == ".json" || extension == ".jsonl" || extension == ".ndjson";
  if (named_csv || (!named_json && looks_like_csv(head))) {
    const char separator = csv_separator(head, extension == ".csv" || extension.empty() ? ',' : '\t');
    return open_csv(std::move(bytes), file.string(), separator);
  }
  const size_t first = head.find_first_not_of(kBlank);
  if (first != std::string_view::npos && head[first] == '[') {
    return std::make_unique<JsonArray>(std::move(bytes), file.string());
  }
  return std::make_unique<JsonLines>(std::move(bytes), file.string());
}

}  // namespace masbak::trainer

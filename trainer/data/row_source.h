// The rows of a data file one after another, each with the line where it begins: JSON Lines, a JSON array, CSV.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/document.h"

namespace masbak::trainer {

// One row as it stands in the file, not yet understood.
struct RawRow {
  int line = 0;                    // where it begins, from 1
  std::string text;                // JSON: the value
  std::vector<std::string> cells;  // CSV: the cells without their quotes
  std::string fault;               // what is wrong with the row as a whole; "" if nothing
};

// Longer rows become a fault, and their bytes are not kept: a file without line breaks must not fill the memory.
inline constexpr size_t kMostRowBytes = 64 << 20;

class RowSource {
 public:
  virtual ~RowSource() = default;
  // False at the end of the file. Not thread-safe.
  virtual bool next(RawRow* row) = 0;
  // The row as a JSON value. INVALID_ARGUMENT, with the line, for a fault of the row. Thread-safe.
  virtual base::Json parse(const RawRow& row) const = 0;
  // "JSON Lines", "CSV with ';' between the cells", …
  virtual std::string kind() const = 0;
};

// Opens the file by its name and by what its first bytes say:
// - a name in .csv or .tsv, or a first line that is a header with the fields of a format: CSV (RFC 4180). The first
//   record names the fields; a quoted cell may hold the separator, line breaks and doubled quotes; the separator is
//   the one of , ; tab and | that the header has most of. Empty cells are fields that are not there, and cells that
//   hold a JSON list or object (messages, tools, input_ids) are read as one.
// - first character '[': the elements of one JSON array, found by brackets and quotes alone, so that one bad row
//   does not hide the others; an array that never closes, or text after its end, is a fault of the last row.
// - else JSON Lines: every line that is not blank.
// Either may be compressed by gzip. A byte order mark is skipped. Throws as open_bytes does, and INVALID_ARGUMENT for
// a CSV header that is no header.
std::unique_ptr<RowSource> open_rows(const std::filesystem::path& file);

}  // namespace masbak::trainer

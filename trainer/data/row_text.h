// The rows of a data file as text: one JSON value each, with the line where it begins.
#pragma once

#include <string_view>
#include <vector>

namespace masbak::trainer {

struct RowText {
  int line = 0;  // from 1
  std::string_view text;
};

// JSON Lines: every line that is not blank. A file whose first character is '[': the elements of that
// array, found by brackets and quotes alone so that one bad row does not hide the others; what cannot
// be told apart (an array that never closes, text after its end) stays in the last row, where the JSON
// parser reports it. A byte order mark at the start is skipped.
std::vector<RowText> split_rows(std::string_view bytes);

}  // namespace masbak::trainer

// JSON lines in, JSON lines out: the loop of every command that reads standard input.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/document.h"

namespace masbak::worker {

// Where a fault in a line of standard input is: "standard input:LINE", with the field if one is named.
base::Where input_line(int line, const std::string& field = "");

// A line as a JSON object; INVALID_ARGUMENT at the line if it is none.
base::Json parse_input_line(std::string_view text, int line);

// Calls `answer` with each line of standard input, parsed, and prints what it returns as one line.
// Blank lines are skipped. A line that is no JSON object, and an Error of `answer` without a place of
// its own, is an Error located at "standard input:LINE". Output is flushed whenever the input pauses.
void answer_json_lines(const std::function<base::Json(const base::Json& object, int line)>& answer);

}  // namespace masbak::worker

// Lines of standard input answered on all cores, in their order.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace masbak::worker {

// Calls `answer` with each line that is not blank, on several threads at once, and prints what it returns, a line
// each, in the order of the input. An Error without a place of its own is located at "standard input:LINE"; the
// answers to the lines before it are printed. Output is flushed whenever the input pauses.
void answer_lines_in_parallel(const std::function<std::string(std::string_view line, int number)>& answer);

// The one string (list of integers) of an object that has only this field, {"text": "…"}, read without building a
// document. False for whatever else the line is, faulty or not: the general reader then says what.
bool read_lone_text(std::string_view line, std::string_view field, std::string& text);
bool read_lone_ids(std::string_view line, std::string_view field, std::vector<int32_t>& ids);

}  // namespace masbak::worker

// Lines in, lines out, on all cores: for commands whose lines have nothing to do with each other.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace masbak::worker {

// Calls `answer` with each line of standard input that is not blank, on several threads at once; it appends its
// answer to `out`, to which a line break is added. Answers come out in the order of the lines, and at once when the
// input pauses. The first line whose `answer` throws ends it with that error, behind the answers to the lines before.
void answer_lines(const std::function<void(std::string_view text, int line, std::string& out)>& answer);

}  // namespace masbak::worker

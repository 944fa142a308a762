#include "programs/worker/json_lines.h"

#include <iostream>

#include "base/error.h"

namespace masbak::worker {
namespace {

base::Json answer_line(const std::string& text, int line,
                       const std::function<base::Json(const base::Json&, int)>& answer) {
  const base::Json object = parse_input_line(text, line);
  try {
    return answer(object, line);
  } catch (const base::Error& error) {
    if (!error.where().file.empty()) throw;
    throw base::Error(error.code(), error.what(), input_line(line, error.where().field));
  }
}

}  // namespace

base::Where input_line(int line, const std::string& field) {
  return {.file = "standard input", .line = line, .field = field};
}

base::Json parse_input_line(std::string_view text, int line) {
  base::Json object = base::parse_json(text, "standard input", line);
  if (!object.is_object()) {
    base::fail_input(std::string("expected a JSON object, found ") + object.type_name() +
                         "; write one object a line, such as {\"text\": \"…\"}",
                     input_line(line));
  }
  return object;
}

void answer_json_lines(const std::function<base::Json(const base::Json&, int)>& answer) {
  std::ios::sync_with_stdio(false);
  std::cin.tie(nullptr);
  std::string text;
  for (int line = 1; std::getline(std::cin, text); ++line) {
    if (text.find_first_not_of(" \t\r") == std::string::npos) continue;
    base::Json result;
    try {
      result = answer_line(text, line, answer);
    } catch (...) {
      std::cout.flush();  // the answers to the lines before stand
      throw;
    }
    std::cout << result.dump() << '\n';
    if (std::cin.rdbuf()->in_avail() <= 0) std::cout.flush();
    if (!std::cout) break;
  }
  std::cout.flush();
  if (!std::cout) {
    throw base::Error(base::Code::kUnavailable, "standard output was closed before all answers were written");
  }
}

}  // namespace masbak::worker

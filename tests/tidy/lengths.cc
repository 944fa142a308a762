#include <algorithm>
#include <regex>

#include "tests/tidy/house_rules.h"

namespace masbak::tidy {
namespace {

constexpr int kLineCharacters = 120;
constexpr int kFileLines = 500;
constexpr int kFunctionLines = 80;

bool is_code(const std::string& path) {
  if (is_cpp(path)) return true;
  for (const char* ending : {".py", ".cmake", "CMakeLists.txt", ".proto", ".sql", ".sh", "Makefile"}) {
    if (path.ends_with(ending)) return true;
  }
  return false;
}

int characters(std::string_view line) {
  return static_cast<int>(std::count_if(line.begin(), line.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;  // not the continuation of a UTF-8 character
  }));
}

struct Function {
  int line;
  int length;
};

// A brace outside of functions opens a namespace or type, whose inside is looked at, a value, or a function.
enum class Brace { kScope, kValue, kFunction };

Brace kind_of(const std::string& head) {
  static const std::regex scope("(^|[^\\w])(namespace|class|struct|union|enum|extern)([^\\w]|$)");
  static const std::regex value("=\\s*[\\w:<>,\\s\\[\\]]*$");
  // Worker(int a) : a_{a}: the brace follows a name within the list after the colon.
  static const std::regex member("\\)[\\w\\s]*:[^:][^]*[\\w>]$");
  const size_t bracket = head.find('(');
  if (std::regex_search(head.begin(),
                        bracket == std::string::npos ? head.end() : head.begin() + static_cast<long>(bracket), scope) &&
      !head.ends_with(')')) {
    return Brace::kScope;
  }
  if (bracket == std::string::npos || std::regex_search(head, value) || std::regex_search(head, member)) {
    return Brace::kValue;
  }
  return Brace::kFunction;
}

// A brace matcher, not a parser: enough to tell where the outermost function bodies begin and end.
std::vector<Function> functions_of(std::string_view text) {
  const std::string code = without_comments_and_literals(text);
  std::vector<Function> functions;
  std::string head;  // since the last end of a declaration at this level
  int line = 1, depth_inside = 0, started = 0;
  Brace inside = Brace::kScope;
  bool at_line_start = true, preprocessor = false;
  for (size_t at = 0; at < code.size(); ++at) {
    const char c = code[at];
    if (at_line_start && c == '#') preprocessor = true;
    if (c == '\n') {
      ++line;
      if (at == 0 || code[at - 1] != '\\') preprocessor = false;
    }
    at_line_start = c == '\n' || (at_line_start && (c == ' ' || c == '\t'));
    if (preprocessor) continue;
    if (depth_inside > 0) {  // inside a function or a value: only its end matters
      depth_inside += c == '{' ? 1 : c == '}' ? -1 : 0;
      if (depth_inside > 0) continue;
      if (inside == Brace::kFunction) {
        functions.push_back({started, line - started + 1});
        head.clear();
      } else {
        head += c;  // it may have been a member in a constructor's list, whose body is still to come
      }
    } else if (c == '{') {
      while (!head.empty() && (head.back() == ' ' || head.back() == '\n')) head.pop_back();
      const Brace kind = kind_of(head);
      if (kind == Brace::kScope) {
        head.clear();
      } else {
        inside = kind;
        depth_inside = 1;
        started = line;
      }
    } else if (c == ';' || c == '}') {
      head.clear();
    } else {
      head += c;
    }
  }
  return functions;
}

void check_ratchet(const std::string& path, int line, int length, int allowed, const Ratchet& ratchet,
                   const std::string& what, std::vector<Violation>& found) {
  const auto exception = ratchet.find(path);
  const int limit = exception == ratchet.end() ? allowed : std::max(allowed, exception->second);
  if (length > limit) {
    found.push_back({path, line,
                     what + " of " + std::to_string(length) + " lines, allowed are " + std::to_string(limit) +
                         "; look for the second subject in it"});
  }
}

void check_ratchet_is_needed(const Ratchet& ratchet, const std::map<std::string, int>& longest, int allowed,
                             std::vector<Violation>& found) {
  for (const auto& [path, limit] : ratchet) {
    const auto entry = longest.find(path);
    const int length = entry == longest.end() ? 0 : entry->second;
    if (length < limit) {
      found.push_back({path, 0,
                       "its exception allows " + std::to_string(limit) + " lines, it needs " +
                           (length > allowed ? std::to_string(length) : "none") + "; tighten the table"});
    }
  }
}

}  // namespace

std::vector<Violation> check_line_lengths(const Tree& tree) {
  std::vector<Violation> found;
  for (const auto& [path, text] : tree) {
    if (!is_code(path)) continue;
    int number = 0;
    for (const std::string_view line : lines_of(text)) {
      ++number;
      if (characters(line) > kLineCharacters) {
        found.push_back(
            {path, number, "a line of " + std::to_string(characters(line)) + " characters, allowed are 120"});
      }
    }
  }
  return found;
}

std::vector<Violation> check_file_lengths(const Tree& tree, const Ratchet& ratchet) {
  std::vector<Violation> found;
  std::map<std::string, int> lengths;
  for (const auto& [path, text] : tree) {
    if (!is_code(path)) continue;
    lengths[path] = static_cast<int>(lines_of(text).size());
    check_ratchet(path, 0, lengths[path], kFileLines, ratchet, "a file", found);
  }
  check_ratchet_is_needed(ratchet, lengths, kFileLines, found);
  return found;
}

std::vector<Violation> check_function_lengths(const Tree& tree, const Ratchet& ratchet) {
  std::vector<Violation> found;
  std::map<std::string, int> longest;
  for (const auto& [path, text] : tree) {
    if (!is_cpp(path)) continue;
    for (const Function& function : functions_of(text)) {
      longest[path] = std::max(longest[path], function.length);
      check_ratchet(path, function.line, function.length, kFunctionLines, ratchet, "a function", found);
    }
  }
  check_ratchet_is_needed(ratchet, longest, kFunctionLines, found);
  return found;
}

}  // namespace masbak::tidy

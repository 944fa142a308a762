#include <regex>
#include <set>

#include "tests/tidy/house_rules.h"

namespace masbak::tidy {
namespace {

struct Forbidden {
  std::string part;  // in every match; found much faster than the pattern
  std::regex pattern;
  std::string advice;
};

// `before` and `after` are patterns for what may stand around the word.
Forbidden forbid(const std::string& word, const std::string& before, const std::string& after,
                 const std::string& advice) {
  return {word, std::regex(before + word + after), advice};
}

// Each word is put together from two pieces, so that this file passes its own check.
const std::vector<Forbidden>& forbidden_words() {
  static const std::string no_letter_before = "(^|[^A-Za-z])", no_letter_after = "($|[^A-Za-z])";
  static const std::string unfinished = "marks unfinished work; finish it or open an issue";
  static const std::vector<Forbidden> all = {
      forbid(std::string("sh") + "ared", "\\.\\./", "", "names a folder outside of the sources; say what is meant"),
      // A path of one machine; not the middle of a longer one.
      forbid(std::string("/wo") + "rk/", "(^|[^\\w.}\\-])", "",
             "names a place on one machine; use a variable or a relative path"),
      forbid(std::string("TO") + "DO", no_letter_before, no_letter_after, unfinished),
      forbid(std::string("FIX") + "ME", no_letter_before, no_letter_after, unfinished),
  };
  return all;
}

}  // namespace

std::vector<Violation> check_forbidden_words(const Tree& tree) {
  std::vector<Violation> found;
  for (const auto& [path, text] : tree) {
    for (const Forbidden& word : forbidden_words()) {
      if (text.find(word.part) == std::string::npos) continue;
      int number = 0;
      for (const std::string_view line : lines_of(text)) {
        ++number;
        std::cmatch match;
        if (line.find(word.part) == std::string_view::npos) continue;
        if (!std::regex_search(line.data(), line.data() + line.size(), match, word.pattern)) continue;
        found.push_back({path, number, "\"" + match[0].str() + "\" " + word.advice});
      }
    }
  }
  return found;
}

std::vector<Violation> check_readmes(const Tree& tree) {
  static const std::set<std::string> rooms = {"base",     "models",   "adapters", "trainer", "registry",
                                              "policies", "services", "gui",      "programs"};
  std::vector<Violation> found;
  std::set<std::string> present;
  for (const auto& [path, text] : tree) {
    const std::string folder = path.substr(0, path.find('/'));
    if (is_cpp(path) && rooms.contains(folder)) present.insert(folder);
  }
  for (const std::string& room : present) {
    if (!tree.contains(room + "/README.md")) {
      found.push_back({room + "/README.md", 0, "missing: one page that says what lives in the room"});
    }
  }
  return found;
}

}  // namespace masbak::tidy

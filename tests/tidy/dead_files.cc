#include <iterator>
#include <regex>
#include <set>
#include <sstream>

#include "tests/tidy/house_rules.h"

namespace masbak::tidy {
namespace {

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash + 1);
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream words(text);
  return {std::istream_iterator<std::string>(words), {}};
}

// Of each match: the whole of it and its groups.
std::vector<std::vector<std::string>> all_matches(const std::string& text, const std::string& pattern) {
  const std::regex regex(pattern);
  std::vector<std::vector<std::string>> matches;
  for (std::sregex_iterator match(text.begin(), text.end(), regex), end; match != end; ++match) {
    matches.emplace_back(match->begin(), match->end());
  }
  return matches;
}

// The folders whose CMakeLists.txt the build reads, each with a slash at its end, the root as "".
void reach(const Tree& tree, const std::string& folder, std::set<std::string>& reached) {
  const auto file = tree.find(folder + "CMakeLists.txt");
  if (file == tree.end() || !reached.insert(folder).second) return;
  const std::string code = without_cmake_comments(file->second);
  // add_subdirectory(${x}) within foreach(x a b c): each of a, b, c.
  std::map<std::string, std::vector<std::string>> loops;
  for (const auto& loop : all_matches(code, "foreach\\s*\\(([^()]*)\\)")) {
    std::vector<std::string> words = words_of(loop[1]);
    if (!words.empty()) loops["${" + words[0] + "}"] = {words.begin() + 1, words.end()};
  }
  for (const auto& call : all_matches(code, "add_subdirectory\\s*\\(\\s*([^\\s()]+)")) {
    const auto loop = loops.find(call[1]);
    const std::vector<std::string> names = loop == loops.end() ? std::vector{call[1]} : loop->second;
    for (const std::string& name : names) reach(tree, folder + name + "/", reached);
  }
}

// Whether the target in this CMakeLists.txt takes up `relative`, a path below its folder.
bool builds(const std::string& code, const std::string& relative) {
  const std::string ending = relative.substr(relative.rfind('.'));
  if (relative.ends_with(".cc") && !all_matches(code, "masbak_program\\s*\\(").empty()) return true;
  for (const auto& call : all_matches(code, "masbak_room\\s*\\(([^()]*)\\)")) {
    if (relative.ends_with(".cc") && call[1].find("SOURCES") == std::string::npos) return true;
  }
  for (const auto& call : all_matches(code, "file\\s*\\(\\s*(GLOB_RECURSE|GLOB)\\s+([^()]*)\\)")) {
    for (std::string pattern : words_of(call[2])) {
      pattern = std::regex_replace(pattern, std::regex("\\$\\{CMAKE_CURRENT_SOURCE_DIR\\}/"), "");
      if (!pattern.ends_with("*" + ending)) continue;
      const std::string start = pattern.substr(0, pattern.size() - 1 - ending.size());
      const bool deep = call[1] == "GLOB_RECURSE";
      if (relative.starts_with(start) && (deep || folder_of(relative) == start)) return true;
    }
  }
  for (const std::string& word : words_of(std::regex_replace(code, std::regex("[()\"]"), " "))) {
    if (word == relative || word == "${CMAKE_CURRENT_SOURCE_DIR}/" + relative) return true;
  }
  return false;
}

bool has_target(const Tree& tree, const std::set<std::string>& reached, const std::string& path) {
  for (std::string folder = folder_of(path);; folder = folder_of(folder.substr(0, folder.size() - 1))) {
    if (reached.contains(folder)) {
      const std::string code = without_cmake_comments(tree.at(folder + "CMakeLists.txt"));
      if (builds(code, path.substr(folder.size()))) return true;
    }
    if (folder.empty()) return false;
  }
}

// tests/FOLDER/… is built by a line masbak_tests(FOLDER …).
bool is_declared_test(const Tree& tree, const std::string& path) {
  const auto file = tree.find("tests/CMakeLists.txt");
  if (file == tree.end()) return false;
  for (const auto& call : all_matches(without_cmake_comments(file->second), "masbak_tests\\s*\\(\\s*([^\\s()]+)")) {
    if (path.starts_with("tests/" + call[1] + "/")) return true;
  }
  return false;
}

std::set<std::string> included_headers(const Tree& tree) {
  std::set<std::string> included;
  for (const auto& [path, text] : tree) {
    if (!is_cpp(path)) continue;
    for (const auto& match : all_matches(text, "#\\s*include\\s*[<\"]([^>\"\\n]+)[>\"]")) {
      if (match[1] != path) included.insert(match[1]);
    }
  }
  return included;
}

bool is_used_module(const Tree& tree, const std::string& name) {
  const std::string use = name.starts_with("Find") ? "find_package\\s*\\(\\s*" + name.substr(4) + "\\b"
                                                   : "include\\s*\\(\\s*" + name + "\\b";
  const std::regex pattern(use);
  for (const auto& [path, text] : tree) {
    const bool is_cmake = path.ends_with("CMakeLists.txt") || path.ends_with(".cmake");
    if (is_cmake && std::regex_search(without_cmake_comments(text), pattern)) return true;
  }
  return false;
}

}  // namespace

std::vector<Violation> check_dead_files(const Tree& tree) {
  std::set<std::string> reached;
  reach(tree, "", reached);
  const std::set<std::string> included = included_headers(tree);
  std::vector<Violation> found;
  for (const auto& [path, text] : tree) {
    const bool source = path.ends_with(".cc") || path.ends_with(".cu") || path.ends_with(".proto");
    if (source && !included.contains(path) && !has_target(tree, reached, path) && !is_declared_test(tree, path)) {
      found.push_back({path, 0, "no target builds it; add it to one or remove it"});
    }
    const bool header = path.ends_with(".h") || path.ends_with(".inl") || path.ends_with(".cuh");
    if (header && !included.contains(path)) found.push_back({path, 0, "nothing includes it; use it or remove it"});
    if (path.ends_with("_test.py") && path.starts_with("tests/") && !is_declared_test(tree, path)) {
      found.push_back({path, 0, "no line masbak_tests(…) in tests/CMakeLists.txt runs it"});
    }
    if (path.starts_with("cmake/") && path.ends_with(".cmake") &&
        !is_used_module(tree, path.substr(6, path.size() - 6 - std::string(".cmake").size()))) {
      found.push_back({path, 0, "nothing includes or finds this module; remove it"});
    }
  }
  return found;
}

}  // namespace masbak::tidy

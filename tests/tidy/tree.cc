#include <algorithm>
#include <regex>
#include <sstream>

#include "base/durable_file.h"
#include "base/error.h"
#include "base/process.h"
#include "base/text.h"
#include "tests/tidy/house_rules.h"

namespace masbak::tidy {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLargestTextBytes = 4 << 20;

std::vector<std::string> tracked_files(const fs::path& root) {
  const base::Output output = base::run_process({.argv = {"git", "-C", root.string(), "ls-files", "-z"}});
  if (!output.exit.ok()) return {};
  std::vector<std::string> files;
  std::istringstream names(output.out);
  for (std::string name; std::getline(names, name, '\0');) files.push_back(name);
  return files;
}

std::vector<std::string> files_on_disk(const fs::path& root) {
  std::vector<std::string> files;
  for (auto entry = fs::recursive_directory_iterator(root); entry != fs::recursive_directory_iterator(); ++entry) {
    const std::string name = entry->path().filename().string();
    const bool skipped = name.starts_with('.') || name.starts_with("build") || name == "__pycache__";
    if (skipped && entry->is_directory()) entry.disable_recursion_pending();
    if (!skipped && entry->is_regular_file()) files.push_back(entry->path().lexically_relative(root).string());
  }
  return files;
}

// Where a literal or comment that begins at `at` ends; `at` itself if none begins there.
size_t literal_end(std::string_view text, size_t at) {
  const auto find = [&](std::string_view what, size_t from) {
    const size_t found = text.find(what, from);
    return found == std::string_view::npos ? text.size() : found + what.size();
  };
  if (text.substr(at, 2) == "//") return std::min(text.find('\n', at), text.size());
  if (text.substr(at, 2) == "/*") return find("*/", at + 2);
  if (text.substr(at, 2) == "R\"") {
    const size_t bracket = text.find('(', at);
    if (bracket == std::string_view::npos) return text.size();
    return find(")" + std::string(text.substr(at + 2, bracket - at - 2)) + "\"", bracket);
  }
  const char quote = text[at];
  if (quote != '"' && quote != '\'') return at;
  // 1'000'000: a separator of digits, not a character.
  if (quote == '\'' && at > 0 && std::isxdigit(static_cast<unsigned char>(text[at - 1]))) return at;
  for (size_t end = at + 1; end < text.size() && text[end] != '\n'; ++end) {
    if (text[end] == '\\') {
      ++end;
    } else if (text[end] == quote) {
      return end + 1;
    }
  }
  return at + 1;
}

}  // namespace

std::string describe(const std::vector<Violation>& violations) {
  std::string text;
  for (const Violation& violation : violations) {
    text += violation.path + (violation.line > 0 ? ":" + std::to_string(violation.line) : "") + ": ";
    text += violation.message + "\n";
  }
  return text;
}

Tree read_tree(const fs::path& root) {
  std::vector<std::string> files = tracked_files(root);
  if (files.empty()) files = files_on_disk(root);
  Tree tree;
  for (const std::string& file : files) {
    std::error_code gone;  // tracked, but deleted and not yet committed
    if (!fs::is_regular_file(root / file, gone) || fs::file_size(root / file) > kLargestTextBytes) continue;
    std::string text = base::read_file(root / file);
    const bool is_text =
        text.find('\0') == std::string::npos && base::find_invalid_utf8(text) == std::string_view::npos;
    if (is_text) tree.emplace(file, std::move(text));
  }
  return tree;
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

std::string without_comments_and_literals(std::string_view text) {
  std::string code(text);
  for (size_t at = 0; at < text.size();) {
    const size_t end = literal_end(text, at);
    for (size_t i = at; i < end; ++i) {
      if (code[i] != '\n') code[i] = ' ';
    }
    at = std::max(end, at + 1);
  }
  return code;
}

std::string without_cmake_comments(std::string_view text) {
  return std::regex_replace(std::string(text), std::regex("#[^\n]*"), "");
}

bool is_cpp(const std::string& path) {
  for (const char* ending : {".cc", ".h", ".inl", ".cu", ".cuh"}) {
    if (path.ends_with(ending)) return true;
  }
  return false;
}

}  // namespace masbak::tidy

#include "programs/cli/names.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "base/error.h"

namespace masbak::cli {
namespace {

constexpr std::string_view kModels = "models/";
constexpr std::string_view kVersions = "/versions/";

bool is_number(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

std::string full_name(std::string_view collection, std::string_view text) {
  const std::string prefix = std::string(collection) + "/";
  if (text.empty() || text == prefix) base::fail_input("expected a name in " + prefix + ", found an empty one");
  return text.starts_with(prefix) ? std::string(text) : prefix + std::string(text);
}

std::string short_name(std::string_view name) { return std::string(name.substr(name.find('/') + 1)); }

std::string version_name(std::string_view text) {
  const std::string name = full_name("models", text);
  const size_t at = name.find('@');
  if (at == std::string::npos) {
    if (name.find(kVersions) != std::string::npos) return name;
    base::fail_input("expected a version such as " + short_name(name) + "@3 or " + short_name(name) +
                     "@production, found '" + std::string(text) + "'; see masbak version list " + short_name(name));
  }
  const std::string version = name.substr(at + 1);
  return is_number(version) ? name.substr(0, at) + std::string(kVersions) + version : name;
}

std::string short_version(std::string_view name) {
  if (!name.starts_with(kModels)) return std::string(name);
  std::string text(name.substr(kModels.size()));
  if (const size_t at = text.find(kVersions); at != std::string::npos) text.replace(at, kVersions.size(), "@");
  return text;
}

std::string model_id(std::string_view version) {
  const std::string text = short_version(version_name(version));
  return text.substr(0, text.find('@'));
}

std::string id_from_file(const std::string& file) {
  std::string id;
  // A folder's name, marked by '/' at its end, has no extension to leave out.
  const std::string name =
      file.ends_with('/') ? file.substr(0, file.size() - 1) : std::filesystem::path(file).stem().string();
  for (const unsigned char c : name) {
    const bool plain = c < 128 && (std::isalnum(c) || c == '-' || c == '_' || c == '.');
    id += plain ? static_cast<char>(std::tolower(c)) : '-';
  }
  const auto edge = [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); };
  while (!id.empty() && edge(id.front())) id.erase(0, 1);
  while (!id.empty() && (edge(id.back()) || id.size() > 63)) id.pop_back();
  if (id.empty()) base::fail_input("no name can be made of this file's name: give one with --name", {.file = file});
  return id;
}

}  // namespace masbak::cli

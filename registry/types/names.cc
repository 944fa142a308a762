#include "registry/types/names.h"

#include <algorithm>

#include "base/error.h"

namespace masbak::registry {
namespace {

bool is_alphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

constexpr char kRule[] = "1 to 63 of a-z, 0-9, '-', '.' and '_', beginning and ending with a letter or a digit";

// A positive number without leading zeros, else 0.
int positive_number(std::string_view text) {
  if (text.empty() || text.size() > 9 || text[0] == '0') return 0;
  int number = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return 0;
    number = number * 10 + (c - '0');
  }
  return number;
}

}  // namespace

bool is_id(std::string_view text) {
  if (text.empty() || text.size() > 63 || !is_alphanumeric(text.front()) || !is_alphanumeric(text.back())) return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return is_alphanumeric(c) || c == '-' || c == '.' || c == '_'; });
}

std::string make_name(std::string_view collection, std::string_view id) {
  if (!is_id(id)) {
    base::fail_input(std::string("expected an id of ") + kRule + ", found '" + std::string(id) + "'");
  }
  return std::string(collection) + "/" + std::string(id);
}

std::string id_of(std::string_view collection, std::string_view name, const std::string& field) {
  const std::string prefix = std::string(collection) + "/";
  if (!name.starts_with(prefix) || !is_id(name.substr(prefix.size()))) {
    base::fail_input("expected '" + prefix + "ID', the id " + kRule + ", found '" + std::string(name) + "'",
                     {.field = field});
  }
  return std::string(name.substr(prefix.size()));
}

std::string VersionName::text() const { return alias.empty() ? version_name(model, number) : model + "@" + alias; }

std::string version_name(const std::string& model, int number) { return model + "/versions/" + std::to_string(number); }

VersionName parse_version_name(std::string_view name, const std::string& field) {
  constexpr std::string_view kVersions = "/versions/";
  std::string_view model, tail;
  if (const size_t at = name.find('@'); at != std::string_view::npos) {
    model = name.substr(0, at);
    tail = name.substr(at + 1);
  } else if (const size_t found = name.find(kVersions); found != std::string_view::npos) {
    model = name.substr(0, found);
    tail = name.substr(found + kVersions.size());
  }
  constexpr std::string_view kModels = "models/";
  if (!model.starts_with(kModels) || !is_id(model.substr(kModels.size())) || !is_id(tail)) {
    base::fail_input("expected a version such as models/NAME/versions/3 or models/NAME@production, found '" +
                         std::string(name) + "'",
                     {.field = field});
  }
  VersionName result{.model = std::string(model), .number = positive_number(tail)};
  if (result.number == 0) result.alias = tail;
  return result;
}

}  // namespace masbak::registry

// Resource names: "datasets/refinery", "models/pump-assistant/versions/3", "models/pump-assistant@production".
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace masbak::registry {

// 1 to 63 of a-z, 0-9, '-', '.', '_', beginning and ending with a letter or a digit: what a resource id and
// an alias may be.
bool is_id(std::string_view text);

// "datasets" + "refinery" → "datasets/refinery". INVALID_ARGUMENT, with the rule, if the id is none.
std::string make_name(std::string_view collection, std::string_view id);

// "datasets/refinery" → "refinery". INVALID_ARGUMENT, located at `field`, if the name is not of that collection.
std::string id_of(std::string_view collection, std::string_view name, const std::string& field = "name");

// What a version's name says: a number, or an alias still to be resolved.
struct VersionName {
  std::string model;  // "models/pump-assistant"
  int number = 0;     // 0 with an alias
  std::string alias;

  std::string text() const;
};

// Takes "models/M/versions/N", "models/M/versions/ALIAS", "models/M@ALIAS" and "models/M@N".
VersionName parse_version_name(std::string_view name, const std::string& field = "name");
std::string version_name(const std::string& model, int number);

}  // namespace masbak::registry

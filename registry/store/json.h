// Small maps and lists that are one column of JSON.
#pragma once

#include <cmath>
#include <limits>
#include <map>
#include <string>

#include "base/document.h"

namespace masbak::registry {

inline std::string to_json(const std::map<std::string, std::string>& map) { return base::Json(map).dump(); }

// JSON has no NaN and no infinity: a number that is none becomes null, and NaN again when read.
inline base::Json number_to_json(double value) {
  return std::isfinite(value) ? base::Json(value) : base::Json(nullptr);
}
inline double number_from_json(const base::Json& json) {
  return json.is_number() ? json.get<double>() : std::numeric_limits<double>::quiet_NaN();
}

inline std::string to_json(const std::map<std::string, double>& map) {
  base::Json json = base::Json::object();
  for (const auto& [key, value] : map) json[key] = number_to_json(value);
  return json.dump();
}

template <typename T>
T from_json(const std::string& text) {
  return base::parse_json(text, "registry column").get<T>();
}

template <>
inline std::map<std::string, double> from_json<std::map<std::string, double>>(const std::string& text) {
  std::map<std::string, double> map;
  const base::Json json = base::parse_json(text, "registry column");
  for (const auto& [key, value] : json.items()) map[key] = number_from_json(value);
  return map;
}

// Replaces what is not UTF-8 by U+FFFD and NUL by a space: what a crashed program wrote must not keep the reason of
// its end out of the database.
std::string to_valid_text(const std::string& bytes);

}  // namespace masbak::registry

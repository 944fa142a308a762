#include "trainer/config_reading.h"

#include <cmath>
#include <sstream>
#include <utility>

#include "base/error.h"

namespace masbak::trainer {

using base::Fields;

void fail_unimplemented(const Fields& fields, const std::string& key, const std::string& message) {
  throw base::Error(base::Code::kUnimplemented, message, fields.where(key));
}

std::string number_text(double value) {
  std::ostringstream text;
  text.precision(std::numeric_limits<double>::max_digits10);
  text << value;
  return text.str();
}

double read_number(const Fields& fields, const std::string& key, double fallback, double low, double high,
                   bool open_below) {
  const double value = fields.get<double>(key, fallback);
  const bool inside = std::isfinite(value) && value <= high && (open_below ? value > low : value >= low);
  if (!inside) {
    std::string range = (open_below ? "a number above " : "a number from ") + number_text(low);
    if (high < std::numeric_limits<double>::max()) range += " to " + number_text(high);
    fields.fail(key, "expected " + range + ", found " + number_text(value));
  }
  return value;
}

int64_t read_count(const Fields& fields, const std::string& key, int64_t fallback, int64_t low, int64_t high) {
  const int64_t value = fields.get<int64_t>(key, fallback);
  if (value < low || value > high) {
    fields.fail(key, "expected a whole number from " + std::to_string(low) + " to " + std::to_string(high) +
                         ", found " + std::to_string(value));
  }
  return value;
}

int64_t read_bytes(const Fields& fields, const std::string& key, int64_t fallback) {
  if (!fields.has(key)) return fallback;
  const base::Json& value = fields.raw(key);
  double bytes = value.is_number_integer() ? static_cast<double>(fields.get<int64_t>(key)) : 0;
  if (value.is_string()) {
    std::istringstream text(value.get<std::string>());
    std::string unit, rest;
    text >> bytes >> unit >> rest;
    constexpr std::pair<const char*, double> kUnits[] = {{"B", 1},        {"KB", 1e3},     {"MB", 1e6},
                                                         {"GB", 1e9},     {"TB", 1e12},    {"KiB", 0x1p10},
                                                         {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40}};
    double factor = 0;
    for (const auto& [name, size] : kUnits) factor = unit == name ? size : factor;
    bytes *= rest.empty() ? factor : 0;
  }
  if (!(bytes >= 1 && bytes < 0x1p62)) {
    fields.fail(key, "expected a number of bytes, or one with a unit such as 12GiB or 1.5GB, found " + value.dump());
  }
  return static_cast<int64_t>(bytes);
}

std::string read_choice(const Fields& fields, const std::string& key, const std::string& fallback,
                        const std::vector<std::string>& known, const std::vector<std::string>& later) {
  const std::string value = fields.get<std::string>(key, fallback);
  std::string list;
  for (const std::string& name : known) {
    if (name == value) return value;
    list += (list.empty() ? "" : ", ") + name;
  }
  for (const std::string& name : later) {
    if (name == value) fail_unimplemented(fields, key, key + " '" + value + "' is not built yet; there is: " + list);
  }
  std::vector<std::string> all = known;
  all.insert(all.end(), later.begin(), later.end());
  const auto nearest = base::nearest_name(value, all);
  fields.fail(key, "expected one of " + list + ", found '" + value + "'" +
                       (nearest ? "; did you mean '" + *nearest + "'?" : ""));
}

}  // namespace masbak::trainer

#include "trainer/config_reading.h"

#include <cmath>
#include <sstream>

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

// The rules of a gate: what a fine-tuned version must show before it may be promoted.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/document.h"

namespace masbak::policies {

enum class Direction { kLower, kHigher };         // which way is better
std::string direction_name(Direction direction);  // "lower", "higher"
base::Json number_or_null(const std::optional<double>& value);

struct Rule {
  std::string name;
  std::string suite;   // whose report
  std::string metric;  // which number of it
  Direction direction = Direction::kHigher;
  // How much worse than the base model is still accepted, in units of the metric. Below zero: how much better it
  // must be. Without it the base is not looked at.
  std::optional<double> max_regression;
  std::optional<double> minimum, maximum;
};

// gates.yaml: `rules`, a list of mappings with the fields of Rule; direction lower or higher. A rule needs at least
// one of max_regression, minimum, maximum.
struct GateRules {
  std::vector<Rule> rules;
  std::string digest;  // of what the rules say, not of how the file is laid out

  // INVALID_ARGUMENT with file, line and field.
  static GateRules read(const std::filesystem::path& file);
  static GateRules from_text(std::string_view yaml, const std::string& file = "gates.yaml");
  base::Json to_json() const;
};

}  // namespace masbak::policies

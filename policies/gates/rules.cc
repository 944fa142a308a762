#include "policies/gates/rules.h"

#include <cmath>
#include <set>

#include "base/digest.h"
#include "base/durable_file.h"

namespace masbak::policies {
namespace {

using base::Fields;
using base::Json;

std::string word(const Fields& rule, const std::string& key) {
  const std::string text = rule.get<std::string>(key);
  if (text.empty()) rule.fail(key, "expected a name, found an empty text");
  return text;
}

std::optional<double> bound(const Fields& rule, const std::string& key) {
  if (!rule.has(key)) return std::nullopt;
  const double value = rule.get<double>(key);
  if (!std::isfinite(value)) rule.fail(key, "expected a number, found one that is not finite");
  return value;
}

Rule read_rule(const Fields& fields) {
  Rule rule;
  rule.name = word(fields, "name");
  rule.suite = word(fields, "suite");
  rule.metric = word(fields, "metric");
  const std::string direction = fields.get<std::string>("direction");
  if (direction != "lower" && direction != "higher") {
    fields.fail("direction", "expected lower or higher (which way is better), found '" + direction + "'");
  }
  rule.direction = direction == "lower" ? Direction::kLower : Direction::kHigher;
  rule.max_regression = bound(fields, "max_regression");
  rule.minimum = bound(fields, "minimum");
  rule.maximum = bound(fields, "maximum");
  if (!rule.max_regression && !rule.minimum && !rule.maximum) {
    fields.fail("name", "the rule '" + rule.name + "' asks for nothing; give max_regression, minimum or maximum");
  }
  if (rule.minimum && rule.maximum && *rule.minimum > *rule.maximum) {
    fields.fail("minimum", "expected a minimum not above the maximum: no number passes");
  }
  fields.finish();
  return rule;
}

// An element of the list; its errors are located at its place in the document.
Rule read_listed_rule(const Json& json, const base::Where& where) {
  if (!json.is_object()) base::fail_input("expected a mapping with name, suite, metric and direction", where);
  try {
    return read_rule(Fields::from_json(json, where.file, where.line));
  } catch (const base::Error& error) {
    throw base::Error(error.code(), error.what(), {where.file, where.line, where.field + "." + error.where().field});
  }
}

}  // namespace

base::Json number_or_null(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

std::string direction_name(Direction direction) { return direction == Direction::kLower ? "lower" : "higher"; }

GateRules GateRules::read(const std::filesystem::path& file) { return from_text(base::read_file(file), file.string()); }

GateRules GateRules::from_text(std::string_view yaml, const std::string& file) {
  const Fields document = Fields::from_yaml_text(yaml, file);
  GateRules result;
  std::set<std::string> names;
  const Json& list = document.raw("rules");
  document.finish();
  if (!list.is_array() || list.empty()) {
    document.fail("rules", "expected a list with at least one rule: a gate without rules guards nothing");
  }
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string place = "rules[" + std::to_string(i) + "]";
    Rule rule = read_listed_rule(list[i], {file, document.where("rules").line, place});
    if (!names.insert(rule.name).second) {
      base::fail_input("two rules are called '" + rule.name + "'; give each its own name",
                       {file, document.where("rules").line, place + ".name"});
    }
    result.rules.push_back(std::move(rule));
  }
  result.digest = base::digest_bytes(result.to_json().dump());
  return result;
}

Json GateRules::to_json() const {
  Json list = Json::array();
  for (const Rule& rule : rules) {
    list.push_back({{"name", rule.name},
                    {"suite", rule.suite},
                    {"metric", rule.metric},
                    {"direction", direction_name(rule.direction)},
                    {"max_regression", number_or_null(rule.max_regression)},
                    {"minimum", number_or_null(rule.minimum)},
                    {"maximum", number_or_null(rule.maximum)}});
  }
  return Json{{"rules", std::move(list)}};
}

}  // namespace masbak::policies

#include "policies/gates/gate.h"

#include <cmath>
#include <cstdio>

namespace masbak::policies {
namespace {

using base::Fields;
using base::Json;

// As people write it: at most four digits after the point that say something.
std::string shown(double value) {
  char text[64];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

// One report looked up, or why there is none that counts.
struct Found {
  const SuiteReport* report = nullptr;
  std::string missing;
};

Found find_report(const std::vector<SuiteReport>& reports, const std::string& suite, const GateSubject& subject,
                  const std::string& of) {
  Found found;
  found.missing = "there is no report of the suite '" + suite + "' on " + of + "; evaluate it first";
  for (const SuiteReport& report : reports) {
    if (report.suite != suite) continue;
    if (report.model_digest == subject.model_digest && report.adapter_digest == subject.adapter_digest) {
      found.report = &report;
    } else if (!found.report) {
      const bool other_model = report.model_digest != subject.model_digest;
      found.missing = "the report of the suite '" + suite + "' is not on " + of + ": its " +
                      (other_model ? "model_digest" : "adapter_digest") + " is another; evaluate again";
    }
  }
  return found;
}

std::optional<double> metric_of(const SuiteReport& report, const std::string& metric, std::string* missing) {
  const auto entry = report.metrics.find(metric);
  if (entry == report.metrics.end()) {
    *missing = "the report of the suite '" + report.suite + "' has no metric '" + metric + "'";
    return std::nullopt;
  }
  if (!std::isfinite(entry->second)) {
    *missing = "the metric '" + metric + "' of the suite '" + report.suite + "' is not a finite number";
    return std::nullopt;
  }
  return entry->second;
}

// One side that a number must keep to.
struct Limit {
  double value;
  bool at_most;
  std::string words;
};

std::vector<Limit> limits_of(const Rule& rule, const std::optional<double>& base) {
  std::vector<Limit> limits;
  if (rule.minimum) limits.push_back({*rule.minimum, false, "at least " + shown(*rule.minimum)});
  if (rule.maximum) limits.push_back({*rule.maximum, true, "at most " + shown(*rule.maximum)});
  if (rule.max_regression && base) {
    const bool lower = rule.direction == Direction::kLower;
    const double value = lower ? *base + *rule.max_regression : *base - *rule.max_regression;
    std::string words = (lower ? "at most " : "at least ") + shown(value) + " (base " + shown(*base);
    if (*rule.max_regression != 0) words += lower == (*rule.max_regression > 0) ? " + " : " - ";
    if (*rule.max_regression != 0) words += shown(std::abs(*rule.max_regression));
    limits.push_back({value, lower, words + ")"});
  }
  return limits;
}

// Compares the observed number with every limit and puts it in words.
void judge(const Rule& rule, const std::vector<Limit>& limits, RuleResult* result) {
  const double observed = *result->observed;
  result->passed = true;
  std::string missed;
  for (const Limit& limit : limits) {
    result->required += (result->required.empty() ? "" : ", ") + limit.words;
    const double excess = limit.at_most ? observed - limit.value : limit.value - observed;
    if (excess <= 0) continue;
    result->passed = false;
    missed += (missed.empty() ? "" : " and ") + limit.words + ": " + shown(excess) +
              (limit.at_most ? " too high" : " too low");
  }
  result->message = rule.name + ": " + rule.metric + " of " + rule.suite + " is " + shown(observed) +
                    (result->passed ? ", as required " + result->required : ", must be " + missed);
}

RuleResult evaluate_rule(const Rule& rule, const GateSubject& subject, const std::vector<SuiteReport>& candidate,
                         const std::vector<SuiteReport>& base) {
  RuleResult result;
  result.rule = rule.name;
  const auto fail = [&](const std::string& why) {
    result.message = rule.name + ": " + why;
    if (result.required.empty()) {
      for (const Limit& limit : limits_of(rule, result.base)) {
        result.required += (result.required.empty() ? "" : ", ") + limit.words;
      }
    }
    return result;
  };
  std::string missing;
  const Found found = find_report(candidate, rule.suite, subject, "this version");
  if (!found.report) return fail(found.missing);
  result.observed = metric_of(*found.report, rule.metric, &missing);
  if (!result.observed) return fail(missing);
  if (rule.max_regression) {
    const Found of_base = find_report(base, rule.suite, {subject.model_digest, ""}, "the base model");
    if (!of_base.report) return fail(of_base.missing);
    if (of_base.report->suite_digest != found.report->suite_digest) {
      return fail("the reports of version and base are of different suites (suite_digest); evaluate both again");
    }
    result.base = metric_of(*of_base.report, rule.metric, &missing);
    if (!result.base) return fail(missing);
  }
  judge(rule, limits_of(rule, result.base), &result);
  return result;
}

std::optional<double> read_optional(const Fields& fields, const std::string& key) {
  if (!fields.has(key)) return std::nullopt;
  return fields.get<double>(key);
}

}  // namespace

GateReport evaluate_gate(const GateRules& rules, const GateSubject& subject, const std::vector<SuiteReport>& candidate,
                         const std::vector<SuiteReport>& base) {
  GateReport report;
  report.rules_digest = rules.digest;
  report.model_digest = subject.model_digest;
  report.adapter_digest = subject.adapter_digest;
  report.passed = !rules.rules.empty();
  for (const Rule& rule : rules.rules) {
    report.results.push_back(evaluate_rule(rule, subject, candidate, base));
    report.passed = report.passed && report.results.back().passed;
  }
  return report;
}

Json GateReport::to_json() const {
  Json list = Json::array();
  for (const RuleResult& result : results) {
    list.push_back({{"rule", result.rule},
                    {"passed", result.passed},
                    {"observed", number_or_null(result.observed)},
                    {"required", result.required},
                    {"base", number_or_null(result.base)},
                    {"message", result.message}});
  }
  return Json{{"passed", passed},
              {"rules_digest", rules_digest},
              {"model_digest", model_digest},
              {"adapter_digest", adapter_digest.empty() ? Json(nullptr) : Json(adapter_digest)},
              {"results", std::move(list)}};
}

GateReport GateReport::from_json(const Json& json, const std::string& file) {
  const Fields fields = Fields::from_json(json, file);
  GateReport report;
  report.passed = fields.get<bool>("passed");
  report.rules_digest = fields.get<std::string>("rules_digest");
  report.model_digest = fields.get<std::string>("model_digest");
  report.adapter_digest = fields.get<std::string>("adapter_digest", "");
  const Json& list = fields.raw("results");
  if (!list.is_array()) fields.fail("results", "expected a list");
  for (const Json& entry : list) {
    const Fields row = Fields::from_json(entry, file);
    RuleResult result;
    result.rule = row.get<std::string>("rule");
    result.passed = row.get<bool>("passed");
    result.observed = read_optional(row, "observed");
    result.required = row.get<std::string>("required", "");
    result.base = read_optional(row, "base");
    result.message = row.get<std::string>("message", "");
    report.results.push_back(std::move(result));
  }
  return report;
}

std::string GateReport::failures() const {
  std::string text;
  for (const RuleResult& result : results) {
    if (!result.passed) text += (text.empty() ? "" : "; ") + result.message;
  }
  return text;
}

}  // namespace masbak::policies

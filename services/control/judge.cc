#include "services/control/judge.h"

#include <algorithm>
#include <optional>

#include "policies/gates/gate.h"

namespace masbak::services {
namespace {

// Oldest first: of several the gate takes the last. The digests are those that the job was started with; within
// the worker's file the adapter is named as a folder, here as the artifact that it was unpacked from.
std::vector<policies::SuiteReport> suite_reports(const std::vector<registry::Report>& reports) {
  std::vector<policies::SuiteReport> list;
  for (auto report = reports.rbegin(); report != reports.rend(); ++report) {
    auto item = policies::SuiteReport::from_json(base::parse_json(report->json, report->name), report->name);
    item.model_digest = report->base_digest;
    item.adapter_digest = report->adapter_digest;
    list.push_back(std::move(item));
  }
  return list;
}

// The bound that counts: the strictest of those that the rule sets.
double bound_of(const policies::Rule& rule, std::optional<double> base) {
  bool lower = rule.direction == policies::Direction::kLower;
  std::optional<double> bound = lower ? rule.maximum : rule.minimum;
  if (base && rule.max_regression) {
    double against_base = lower ? *base + *rule.max_regression : *base - *rule.max_regression;
    if (!bound) bound = against_base;
    bound = lower ? std::min(*bound, against_base) : std::max(*bound, against_base);
  }
  if (!bound) bound = lower ? rule.minimum : rule.maximum;
  return bound.value_or(0);
}

}  // namespace

registry::GateReport judge(const registry::Version& version, const std::string& rules_yaml,
                           const std::vector<registry::Report>& own, const std::vector<registry::Report>& base) {
  auto rules = policies::GateRules::from_text(rules_yaml);
  policies::GateSubject subject{version.base_digest, version.adapter_digest};
  auto verdict = policies::evaluate_gate(rules, subject, suite_reports(own), suite_reports(base));

  registry::GateReport gate;
  gate.version = version.name;
  gate.passed = verdict.passed;
  gate.rules_yaml = rules_yaml;
  gate.rules_digest = verdict.rules_digest;
  for (size_t index = 0; index < verdict.results.size(); ++index) {
    const auto& found = verdict.results[index];
    const auto& rule = rules.rules[index];
    gate.results.push_back({found.rule, found.passed, rule.suite + "." + rule.metric, found.observed.value_or(0),
                            bound_of(rule, found.base), found.base.value_or(0), found.message});
  }
  gate.summary = verdict.passed ? "all " + std::to_string(gate.results.size()) + " rules are kept" : verdict.failures();
  return gate;
}

}  // namespace masbak::services

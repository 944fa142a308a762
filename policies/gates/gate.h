// The gate: rules and reports in, a verdict out. A pure function; it reads no file and asks no service.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/document.h"
#include "policies/gates/rules.h"
#include "policies/suites/report.h"

namespace masbak::policies {

// What stands at the gate, by its content: only reports about just this model and adapter count.
struct GateSubject {
  std::string model_digest;
  std::string adapter_digest;  // "": a model without an adapter
};

struct RuleResult {
  std::string rule;
  bool passed = false;
  std::optional<double> observed;  // missing if there is no report that counts
  std::string required;            // "at most 0.5, at most 2.66 (the base's)"
  std::optional<double> base;      // the base model's number, if the rule looks at it
  std::string message;             // which rule, and by how much it is kept or missed
};

// {"passed", "rules_digest", "model_digest", "adapter_digest", "results": [{"rule", "passed", "observed",
// "required", "base", "message"}]}
struct GateReport {
  bool passed = false;
  std::string rules_digest, model_digest, adapter_digest;
  std::vector<RuleResult> results;  // one a rule, in the order of the rules

  base::Json to_json() const;
  static GateReport from_json(const base::Json& json, const std::string& file = "");
  // The messages of the rules that failed, joined by "; ". "" if it passed.
  std::string failures() const;
};

// `candidate`: reports on the subject; `base`: reports on its model alone (the same model_digest, no adapter).
// A rule fails if its report is missing, is about other digests, lacks the metric, or holds a number that is not
// finite; and, if the rule compares with the base, if the base's report is missing or of another suite digest.
// Of several reports that count, the last one does.
GateReport evaluate_gate(const GateRules& rules, const GateSubject& subject, const std::vector<SuiteReport>& candidate,
                         const std::vector<SuiteReport>& base);

}  // namespace masbak::policies

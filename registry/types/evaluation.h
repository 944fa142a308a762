// Evaluation reports and the gates that judge them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "registry/types/time.h"

namespace masbak::registry {

// One evaluation of one model, base or fine-tuned, with one suite. Named by digests, so that it can be
// reused where the same ones come again. Immutable.
struct Report {
  std::string name;     // "reports/12"; set by the store
  std::string version;  // empty for a base model's report
  std::string base_model;
  std::string base_digest;
  std::string adapter_digest;  // empty for a base model's report
  std::string suite;
  std::string suite_digest;
  std::string digest;  // of `json`
  std::map<std::string, double> metrics;
  std::string json;
  std::string job;
  Time create_time{};  // set by the store
};

struct GateResult {
  std::string rule;
  bool passed = false;
  std::string metric;
  double observed = 0;
  double required = 0;
  double base = 0;
  std::string message;
};

// Immutable; the latest one of a version counts.
struct GateReport {
  std::string name;  // "gateReports/5"; set by the store
  std::string version;
  bool passed = false;
  std::string summary;  // one line: the first rule that failed and by how much, or how many passed
  std::vector<GateResult> results;
  std::string rules_digest;
  std::string rules_yaml;
  // Set by the store:
  Time create_time{};
  std::string creator;
};

}  // namespace masbak::registry

// What an evaluation suite found: the file that `masbak-worker evaluate` writes and a gate reads.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/document.h"
#include "policies/suites/suite.h"

namespace masbak::policies {

// {"suite", "kind", "suite_digest", "model_digest", "adapter_digest" (null: the base model alone), "metrics",
// "items"}. Metrics of contains: accuracy (0 to 1), right, questions. Metrics of loss: loss (mean over the trained
// tokens, in nats), perplexity, tokens, examples.
struct SuiteReport {
  std::string suite;
  SuiteKind kind = SuiteKind::kContains;
  std::string suite_digest, model_digest;
  std::string adapter_digest;  // "": none
  std::map<std::string, double> metrics;
  base::Json items = base::Json::array();

  base::Json to_json() const;
  // INVALID_ARGUMENT with file and field.
  static SuiteReport from_json(const base::Json& json, const std::string& file = "");
  static SuiteReport read(const std::filesystem::path& file);
};

// The report of a suite of kind contains; answers[i] is the answer to suite.questions[i]. Pure.
SuiteReport score_answers(const Suite& suite, const std::vector<std::string>& answers);

// One example of a suite of kind loss: its line, and the sum of the loss over its trained tokens.
struct ExampleLoss {
  int line = 0;
  double loss_sum = 0;
  int64_t tokens = 0;
};
SuiteReport score_losses(const Suite& suite, const std::vector<ExampleLoss>& losses);

}  // namespace masbak::policies

#include "policies/suites/report.h"

#include <cmath>

#include "base/digest.h"
#include "policies/suites/scoring.h"

namespace masbak::policies {
namespace {

using base::Fields;
using base::Json;

SuiteReport begin_report(const Suite& suite) {
  SuiteReport report;
  report.suite = suite.name;
  report.kind = suite.kind;
  report.suite_digest = suite.digest;
  return report;
}

std::string read_digest(const Fields& fields, const std::string& key) {
  const std::string digest = fields.get<std::string>(key);
  if (!base::is_digest(digest)) {
    fields.fail(key, "expected a digest (sha256: and 64 hexadecimal digits), found '" + digest + "'");
  }
  return digest;
}

// JSON has no word for infinity and not-a-number; null stands for both, and no rule accepts them.
Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

}  // namespace

Json SuiteReport::to_json() const {
  Json numbers = Json::object();
  for (const auto& [name, value] : metrics) numbers[name] = number(value);
  return Json{{"suite", suite},
              {"kind", suite_kind_name(kind)},
              {"suite_digest", suite_digest},
              {"model_digest", model_digest},
              {"adapter_digest", adapter_digest.empty() ? Json(nullptr) : Json(adapter_digest)},
              {"metrics", std::move(numbers)},
              {"items", items}};
}

SuiteReport SuiteReport::from_json(const Json& json, const std::string& file) {
  const Fields fields = Fields::from_json(json, file);
  SuiteReport report;
  report.suite = fields.get<std::string>("suite");
  const std::string kind = fields.get<std::string>("kind");
  if (kind != "contains" && kind != "loss") fields.fail("kind", "expected contains or loss, found '" + kind + "'");
  report.kind = kind == "loss" ? SuiteKind::kLoss : SuiteKind::kContains;
  report.suite_digest = read_digest(fields, "suite_digest");
  report.model_digest = read_digest(fields, "model_digest");
  if (fields.has("adapter_digest")) report.adapter_digest = read_digest(fields, "adapter_digest");
  const Json& metrics = fields.require_child("metrics").json();
  for (const auto& entry : metrics.items()) {
    if (entry.value().is_null()) {
      report.metrics[entry.key()] = std::nan("");
    } else if (entry.value().is_number()) {
      report.metrics[entry.key()] = entry.value().get<double>();
    } else {
      fields.fail("metrics", "expected a number for " + entry.key() + ", found " + entry.value().dump());
    }
  }
  report.items = fields.raw("items");
  if (!report.items.is_array()) fields.fail("items", "expected a list");
  return report;
}

SuiteReport SuiteReport::read(const std::filesystem::path& file) {
  return from_json(base::read_json(file), file.string());
}

SuiteReport score_answers(const Suite& suite, const std::vector<std::string>& answers) {
  if (answers.size() != suite.questions.size()) {
    base::fail_input("expected " + std::to_string(suite.questions.size()) + " answers, found " +
                     std::to_string(answers.size()));
  }
  SuiteReport report = begin_report(suite);
  int64_t right_count = 0;
  for (size_t i = 0; i < answers.size(); ++i) {
    const Question& question = suite.questions[i];
    bool right = true;
    for (const std::string& key : question.key) right = right && holds_key(answers[i], key);
    right_count += right;
    report.items.push_back({{"id", question.id},
                            {"language", question.language},
                            {"question", question.question},
                            {"key", question.key},
                            {"answer", answers[i]},
                            {"right", right}});
  }
  const auto total = static_cast<double>(answers.size());
  report.metrics = {{"accuracy", static_cast<double>(right_count) / total},
                    {"right", static_cast<double>(right_count)},
                    {"questions", total}};
  return report;
}

SuiteReport score_losses(const Suite& suite, const std::vector<ExampleLoss>& losses) {
  SuiteReport report = begin_report(suite);
  double sum = 0;
  int64_t tokens = 0;
  for (const ExampleLoss& example : losses) {
    sum += example.loss_sum;
    tokens += example.tokens;
    report.items.push_back({{"line", example.line},
                            {"loss", number(example.loss_sum / static_cast<double>(example.tokens))},
                            {"tokens", example.tokens}});
  }
  if (tokens == 0) base::fail_input("expected answers to measure the loss on, found none", {suite.data.string()});
  const double mean = sum / static_cast<double>(tokens);
  report.metrics = {{"loss", mean},
                    {"perplexity", std::exp(mean)},
                    {"tokens", static_cast<double>(tokens)},
                    {"examples", static_cast<double>(losses.size())}};
  return report;
}

}  // namespace masbak::policies

#include "policies/gates/gate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "base/digest.h"
#include "tests/base/thrown.h"

namespace masbak::policies {
namespace {

const std::string kModel = base::digest_bytes("model");
const std::string kAdapter = base::digest_bytes("adapter");
const std::string kSuite = base::digest_bytes("suite");

SuiteReport report(double value, const std::string& adapter = kAdapter) {
  SuiteReport result;
  result.suite = "eval_loss";
  result.kind = SuiteKind::kLoss;
  result.suite_digest = kSuite;
  result.model_digest = kModel;
  result.adapter_digest = adapter;
  result.metrics["loss"] = value;
  return result;
}

GateRules rules(const std::string& bounds, const std::string& direction = "lower") {
  return GateRules::from_text("rules:\n  - {name: r, suite: eval_loss, metric: loss, direction: " + direction + ", " +
                              bounds + "}\n");
}

GateReport run(const GateRules& rules, double candidate, double base) {
  return evaluate_gate(rules, {kModel, kAdapter}, {report(candidate)}, {report(base, "")});
}

struct Case {
  const char* bounds;
  const char* direction;
  double candidate, base;
  bool passed;
};

TEST(Gate, Limits) {
  const Case cases[] = {
      {"max_regression: 0", "lower", 1.0, 1.0, true},
      {"max_regression: 0", "lower", 1.1, 1.0, false},
      {"max_regression: 0.2", "lower", 1.1, 1.0, true},
      {"max_regression: -0.2", "lower", 0.9, 1.0, false},
      {"max_regression: -0.2", "lower", 0.7, 1.0, true},
      {"max_regression: 0", "higher", 0.9, 1.0, false},
      {"max_regression: 0.2", "higher", 0.9, 1.0, true},
      {"minimum: 0.9", "higher", 0.9, 0.0, true},
      {"minimum: 0.9", "higher", 0.89, 0.0, false},
      {"maximum: 0.5", "lower", 0.5, 0.0, true},
      {"maximum: 0.5", "lower", 0.51, 0.0, false},
      {"minimum: 1, maximum: 2", "higher", 1.5, 0.0, true},
      {"minimum: 1, maximum: 2", "higher", 2.5, 0.0, false},
      {"maximum: 9", "lower", std::nan(""), 0.0, false},
      {"max_regression: 0", "lower", 1.0, std::nan(""), false},
  };
  for (const Case& c : cases) {
    const GateReport gate = run(rules(c.bounds, c.direction), c.candidate, c.base);
    EXPECT_EQ(gate.passed, c.passed) << c.bounds << " " << c.direction << " " << c.candidate << ": "
                                     << gate.results[0].message;
    EXPECT_EQ(gate.results[0].passed, c.passed);
  }
}

TEST(Gate, SaysWhichRuleAndByHowMuch) {
  const GateReport gate = run(rules("max_regression: 0.1, maximum: 0.5"), 0.75, 0.4);
  EXPECT_EQ(gate.results[0].message,
            "r: loss of eval_loss is 0.75, must be at most 0.5: 0.25 too high and at most 0.5 (base 0.4 + 0.1): "
            "0.25 too high");
  EXPECT_EQ(gate.results[0].required, "at most 0.5, at most 0.5 (base 0.4 + 0.1)");
  EXPECT_EQ(gate.results[0].observed, 0.75);
  EXPECT_EQ(gate.results[0].base, 0.4);
  EXPECT_EQ(gate.failures(), gate.results[0].message);
  EXPECT_EQ(run(rules("maximum: 0.5"), 0.25, 0).failures(), "");
}

TEST(Gate, MissingOrForeignReportsFail) {
  const GateRules both = rules("max_regression: 0");
  const GateSubject subject{kModel, kAdapter};
  const auto failure = [&](std::vector<SuiteReport> candidate, std::vector<SuiteReport> base) {
    const GateReport gate = evaluate_gate(both, subject, candidate, base);
    EXPECT_FALSE(gate.passed);
    return gate.failures();
  };
  EXPECT_NE(failure({}, {report(1, "")}).find("no report of the suite 'eval_loss' on this version"), std::string::npos);
  EXPECT_NE(failure({report(1)}, {}).find("on the base model"), std::string::npos);
  EXPECT_NE(failure({report(1, base::digest_bytes("other"))}, {report(1, "")}).find("adapter_digest is another"),
            std::string::npos);
  EXPECT_NE(failure({report(1)}, {report(1)}).find("not on the base model"), std::string::npos);
  SuiteReport other_model = report(1);
  other_model.model_digest = base::digest_bytes("other");
  EXPECT_NE(failure({other_model}, {report(1, "")}).find("model_digest is another"), std::string::npos);
  SuiteReport other_suite = report(1, "");
  other_suite.suite_digest = base::digest_bytes("other");
  EXPECT_NE(failure({report(1)}, {other_suite}).find("different suites"), std::string::npos);
  SuiteReport without = report(1);
  without.metrics.clear();
  EXPECT_NE(failure({without}, {report(1, "")}).find("has no metric 'loss'"), std::string::npos);
}

TEST(Gate, ReportGoesThroughJson) {
  const GateReport gate = run(rules("max_regression: 0, minimum: 0.1"), 0.2, 0.4);
  EXPECT_EQ(GateReport::from_json(gate.to_json()).to_json(), gate.to_json());
  EXPECT_EQ(gate.to_json()["results"][0]["rule"], "r");
  EXPECT_EQ(gate.to_json()["passed"], true);
  const GateReport missing = evaluate_gate(rules("minimum: 1"), {kModel, ""}, {}, {});
  EXPECT_TRUE(missing.to_json()["results"][0]["observed"].is_null());
  EXPECT_EQ(missing.results[0].required, "at least 1");
}

TEST(GateRules, RefusesWhatGuardsNothing) {
  const auto refused = [](const std::string& yaml) {
    return base::thrown([&] { GateRules::from_text(yaml, "gates.yaml"); });
  };
  EXPECT_EQ(refused("rules: []\n").where().field, "rules");
  EXPECT_EQ(refused("rule:\n  - {}\n").where().file, "gates.yaml");
  const std::string head = "rules:\n  - {name: a, suite: s, metric: m, direction: ";
  EXPECT_EQ(refused(head + "lower}\n").where().field, "rules[0].name");
  EXPECT_EQ(refused(head + "up, minimum: 1}\n").where().field, "rules[0].direction");
  EXPECT_EQ(refused(head + "lower, minimum: 2, maximum: 1}\n").where().field, "rules[0].minimum");
  EXPECT_EQ(refused(head + "lower, minimun: 2, maximum: 1}\n").where().field, "rules[0].minimun");
  EXPECT_EQ(refused(head + "lower, minimum: x}\n").where().field, "rules[0].minimum");
  EXPECT_EQ(refused(head + "lower, minimum: 1}\n  - {name: a, suite: s, metric: m, direction: lower, minimum: 1}\n")
                .where()
                .field,
            "rules[1].name");
}

TEST(GateRules, DigestIsOfWhatTheySay) {
  EXPECT_EQ(rules("minimum: 1").digest, rules("minimum: 1.0").digest);
  EXPECT_NE(rules("minimum: 1").digest, rules("minimum: 2").digest);
}

TEST(GateRules, TheExampleIsRead) {
  const char* source = std::getenv("MASBAK_SOURCE");
  ASSERT_NE(source, nullptr);
  const GateRules example = GateRules::read(std::string(source) + "/examples/refinery/gates.yaml");
  ASSERT_EQ(example.rules.size(), 2u);
  EXPECT_EQ(example.rules[1].minimum, 0.9);
}

}  // namespace
}  // namespace masbak::policies

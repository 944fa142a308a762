// Evaluation reports and gate reports.
#include "registry/store/json.h"
#include "registry/store/session.h"
#include "registry/store/writer.h"

namespace masbak::registry {
namespace {

constexpr char kSelectReport[] = "SELECT *, micros(create_time) AS created FROM reports WHERE ";
constexpr char kSelectGate[] = "SELECT *, micros(create_time) AS created FROM gate_reports WHERE ";

Report parse_report(const pqxx::row& row) {
  return {.name = text(row, "name"),
          .version = text(row, "version"),
          .base_model = text(row, "base_model"),
          .base_digest = text(row, "base_digest"),
          .adapter_digest = text(row, "adapter_digest"),
          .suite = text(row, "suite"),
          .suite_digest = text(row, "suite_digest"),
          .digest = text(row, "digest"),
          .metrics = from_json<std::map<std::string, double>>(text(row, "metrics")),
          .json = text(row, "json"),
          .job = text(row, "job"),
          .create_time = instant(row, "created")};
}

std::string results_to_json(const std::vector<GateResult>& results) {
  base::Json json = base::Json::array();
  for (const GateResult& result : results) {
    json.push_back({{"rule", result.rule},
                    {"passed", result.passed},
                    {"metric", result.metric},
                    {"observed", number_to_json(result.observed)},
                    {"required", number_to_json(result.required)},
                    {"base", number_to_json(result.base)},
                    {"message", result.message}});
  }
  return json.dump();
}

std::vector<GateResult> results_from_json(const std::string& text) {
  std::vector<GateResult> results;
  for (const base::Json& json : base::parse_json(text, "gate_reports.results")) {
    results.push_back({.rule = json.at("rule"),
                       .passed = json.at("passed"),
                       .metric = json.at("metric"),
                       .observed = number_from_json(json.at("observed")),
                       .required = number_from_json(json.at("required")),
                       .base = number_from_json(json.at("base")),
                       .message = json.at("message")});
  }
  return results;
}

GateReport parse_gate(const pqxx::row& row) {
  return {.name = text(row, "name"),
          .version = text(row, "version"),
          .passed = truth(row, "passed"),
          .summary = text(row, "summary"),
          .results = results_from_json(text(row, "results")),
          .rules_digest = text(row, "rules_digest"),
          .rules_yaml = text(row, "rules_yaml"),
          .create_time = instant(row, "created"),
          .creator = text(row, "creator")};
}

}  // namespace

Report Reader::get_report(const std::string& name) const {
  id_of("reports", name);
  const pqxx::result rows = session().exec(std::string(kSelectReport) + "name = $1", name);
  if (rows.empty()) fail(base::Code::kNotFound, "there is no " + name + ": list the reports to see which there are");
  return parse_report(rows[0]);
}

std::optional<Report> Reader::find_report(const std::string& base_digest, const std::string& adapter_digest,
                                          const std::string& suite_digest) const {
  const pqxx::result rows =
      session().exec(std::string(kSelectReport) +
                         "base_digest = $1 AND adapter_digest = $2 AND suite_digest = $3 ORDER BY number DESC LIMIT 1",
                     base_digest, adapter_digest, suite_digest);
  if (rows.empty()) return std::nullopt;
  return parse_report(rows[0]);
}

Page<Report> Reader::list_reports(const std::string& version, const PageRequest& page) const {
  if (version.empty()) {
    return read_page<Report>(session(), "reports", page, std::string(kSelectReport) + "{page}", "number", parse_report);
  }
  const Version judged = get_version(version);
  return read_page<Report>(
      session(), "reports of " + judged.name, page,
      std::string(kSelectReport) + "{page} AND (version = $3 OR (adapter_digest = '' AND base_digest = $4))", "number",
      parse_report, judged.name, judged.base_digest);
}

std::vector<Report> Reader::latest_reports(const std::string& version, bool of_base) const {
  const Version judged = get_version(version);
  const std::string sql =
      "SELECT * FROM (SELECT DISTINCT ON (suite_digest) *, micros(create_time) AS created FROM reports "
      "WHERE CASE WHEN $1 THEN adapter_digest = '' AND base_digest = $2 ELSE version = $3 END "
      "ORDER BY suite_digest, number DESC) latest ORDER BY number DESC";
  std::vector<Report> reports;
  for (const pqxx::row& row : session().exec(sql, of_base, judged.base_digest, judged.name)) {
    reports.push_back(parse_report(row));
  }
  return reports;
}

Report Writer::create_report(const Report& report) {
  require_digest(report.base_digest, "base_digest");
  require_digest(report.suite_digest, "suite_digest");
  require_digest(report.digest, "digest");
  require_digest(report.adapter_digest, "adapter_digest", report.version.empty());
  const pqxx::result added = session().exec(
      "INSERT INTO reports (version, base_model, base_digest, adapter_digest, suite, suite_digest, digest, metrics, "
      "json, job) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING RETURNING name",
      report.version, report.base_model, report.base_digest, report.adapter_digest, report.suite, report.suite_digest,
      report.digest, to_json(report.metrics), report.json, report.job);
  if (added.empty()) {
    return parse_report(
        session().exec(std::string(kSelectReport) + "digest = $1 AND version = $2 AND suite_digest = $3", report.digest,
                       report.version, report.suite_digest)[0]);
  }
  const std::string name = text(added[0], "name");
  session().record("report.create", name,
                   {{"digest", report.digest},
                    {"version", report.version},
                    {"base_digest", report.base_digest},
                    {"adapter_digest", report.adapter_digest},
                    {"suite", report.suite},
                    {"suite_digest", report.suite_digest}});
  return get_report(name);
}

std::optional<GateReport> Reader::find_gate_report(const std::string& version) const {
  const std::string name = get_version(version).name;
  const pqxx::result rows =
      session().exec(std::string(kSelectGate) + "version = $1 ORDER BY number DESC LIMIT 1", name);
  if (rows.empty()) return std::nullopt;
  return parse_gate(rows[0]);
}

GateReport Reader::get_gate_report(const std::string& version) const {
  if (std::optional<GateReport> found = find_gate_report(version)) return *found;
  fail(base::Code::kNotFound, "no gate was run for " + version + ": run one (masbak gate run)");
}

GateReport Writer::create_gate_report(const GateReport& gate) {
  require_digest(gate.rules_digest, "rules_digest");
  lock_model(parse_version_name(gate.version).model);
  const Version judged = get_version(gate.version);
  const pqxx::result added = session().exec(
      "INSERT INTO gate_reports (version, passed, summary, results, rules_digest, rules_yaml, creator) "
      "VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING name",
      judged.name, gate.passed, gate.summary, results_to_json(gate.results), gate.rules_digest, gate.rules_yaml,
      session().actor());
  session().record("gate.run", judged.name,
                   {{"gate_report", text(added[0], "name")},
                    {"passed", gate.passed},
                    {"summary", gate.summary},
                    {"rules_digest", gate.rules_digest},
                    {"adapter_digest", judged.adapter_digest}});
  return get_gate_report(judged.name);
}

}  // namespace masbak::registry

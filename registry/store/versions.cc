// Models and their versions.
#include "registry/store/session.h"
#include "registry/store/writer.h"

namespace masbak::registry {
namespace {

constexpr char kSelectVersion[] = R"sql(
  SELECT v.*, micros(v.create_time) AS created, g.passed, g.summary,
    (SELECT coalesce(json_agg(a.alias ORDER BY a.alias), '[]') FROM aliases a WHERE a.version = v.name) AS alias_list,
    (SELECT coalesce(json_agg(p.actor ORDER BY p.time), '[]') FROM approvals p WHERE p.version = v.name)
      AS approval_list
  FROM versions v
  LEFT JOIN LATERAL (SELECT passed, summary FROM gate_reports WHERE version = v.name ORDER BY number DESC LIMIT 1) g
    ON true
  WHERE )sql";

constexpr char kSelectModel[] = R"sql(
  SELECT m.*, micros(m.create_time) AS created,
    (SELECT count(*) FROM versions v WHERE v.model = m.name) AS version_count,
    (SELECT coalesce(json_object_agg(a.alias, a.version), '{}') FROM aliases a WHERE a.model = m.name) AS alias_map
  FROM models m
  WHERE )sql";

std::vector<std::string> strings(const std::string& json) {
  return base::parse_json(json).get<std::vector<std::string>>();
}

Version parse_version(const pqxx::row& row) {
  Version version{.name = text(row, "name"),
                  .model = text(row, "model"),
                  .number = small(row, "version_number"),
                  .base_model = text(row, "base_model"),
                  .dataset = text(row, "dataset"),
                  .job = text(row, "job"),
                  .base_digest = text(row, "base_digest"),
                  .dataset_digest = text(row, "dataset_digest"),
                  .adapter_digest = text(row, "adapter_digest"),
                  .run_digest = text(row, "run_digest"),
                  .plan_digest = text(row, "plan_digest"),
                  .eval_loss = real(row, "eval_loss"),
                  .eval_loss_before = real(row, "eval_loss_before"),
                  .aliases = strings(text(row, "alias_list")),
                  .gate_state = row["passed"].is_null() ? "none"
                                : truth(row, "passed")  ? "passed"
                                                        : "failed",
                  .gate_summary = text(row, "summary"),
                  .approvals = strings(text(row, "approval_list")),
                  .create_time = instant(row, "created"),
                  .creator = text(row, "creator")};
  version.etag = make_etag(
      {version.name, text(row, "alias_list"), text(row, "approval_list"), version.gate_state, version.gate_summary});
  return version;
}

Model parse_model(const pqxx::row& row) {
  return {.name = text(row, "name"),
          .version_count = small(row, "version_count"),
          .aliases = base::parse_json(text(row, "alias_map")).get<std::map<std::string, std::string>>(),
          .create_time = instant(row, "created")};
}

[[noreturn]] void fail_no_version(const Reader& reader, const VersionName& wanted) {
  const Model model = reader.get_model(wanted.model);
  std::string there;
  for (const auto& [alias, version] : model.aliases) there += (there.empty() ? "" : ", ") + alias;
  fail(base::Code::kNotFound, "there is no " + wanted.text() + ": " + model.name + " has " +
                                  std::to_string(model.version_count) + " versions and " +
                                  (there.empty() ? "no alias" : "the aliases " + there));
}

bool same_content(const Version& a, const Version& b) {
  return a.model == b.model && a.base_digest == b.base_digest && a.dataset_digest == b.dataset_digest &&
         a.adapter_digest == b.adapter_digest && a.run_digest == b.run_digest && a.plan_digest == b.plan_digest;
}

}  // namespace

Model Reader::get_model(const std::string& name) const {
  id_of("models", name);
  const pqxx::result rows = session().exec(std::string(kSelectModel) + "m.name = $1", name);
  if (rows.empty()) fail(base::Code::kNotFound, "there is no " + name + ": list the models to see which there are");
  return parse_model(rows[0]);
}

Page<Model> Reader::list_models(const PageRequest& page) const {
  return read_page<Model>(session(), "models", page, std::string(kSelectModel) + "{page}", "m.number", parse_model);
}

Version Reader::get_version(const std::string& name) const {
  const VersionName wanted = parse_version_name(name);
  const pqxx::result rows =
      wanted.alias.empty()
          ? session().exec(std::string(kSelectVersion) + "v.name = $1", wanted.text())
          : session().exec(
                std::string(kSelectVersion) + "v.name = (SELECT version FROM aliases WHERE model = $1 AND alias = $2)",
                wanted.model, wanted.alias);
  if (rows.empty()) fail_no_version(*this, wanted);
  return parse_version(rows[0]);
}

Page<Version> Reader::list_versions(const std::string& model, const PageRequest& page) const {
  if (model == "models/-") {
    return read_page<Version>(session(), "versions", page, std::string(kSelectVersion) + "{page}", "v.number",
                              parse_version);
  }
  get_model(model);
  return read_page<Version>(session(), "versions of " + model, page,
                            std::string(kSelectVersion) + "{page} AND v.model = $3", "v.number", parse_version, model);
}

void Writer::lock_model(const std::string& model) {
  get_model(model);
  session().exec("SELECT 1 FROM models WHERE name = $1 FOR UPDATE", model);
}

Version Writer::create_version(const Version& version) {
  id_of("models", version.model, "model");
  id_of("baseModels", version.base_model, "base_model");
  require_digest(version.base_digest, "base_digest");
  require_digest(version.adapter_digest, "adapter_digest");
  require_digest(version.dataset_digest, "dataset_digest", true);
  require_digest(version.run_digest, "run_digest", true);
  require_digest(version.plan_digest, "plan_digest", true);
  session().exec("INSERT INTO models (name) VALUES ($1) ON CONFLICT DO NOTHING", version.model);
  lock_model(version.model);
  if (!version.job.empty()) {
    const pqxx::result made = session().exec("SELECT name FROM versions WHERE job = $1", version.job);
    if (!made.empty()) {
      const Version there = get_version(text(made[0], "name"));
      if (same_content(there, version)) return there;
      fail(base::Code::kAlreadyExists,
           version.job + " made " + there.name + ", with other digests: a job makes one version");
    }
  }
  const int number = session()
                         .exec("SELECT coalesce(max(version_number), 0) + 1 AS next FROM versions WHERE model = $1",
                               version.model)[0]["next"]
                         .as<int>();
  const std::string name = version_name(version.model, number);
  session().exec(
      "INSERT INTO versions (name, model, version_number, base_model, dataset, job, base_digest, dataset_digest, "
      "adapter_digest, run_digest, plan_digest, eval_loss, eval_loss_before, creator) "
      "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
      name, version.model, number, version.base_model, version.dataset, version.job, version.base_digest,
      version.dataset_digest, version.adapter_digest, version.run_digest, version.plan_digest, version.eval_loss,
      version.eval_loss_before, session().actor());
  session().record("version.create", name,
                   {{"base_digest", version.base_digest},
                    {"dataset_digest", version.dataset_digest},
                    {"adapter_digest", version.adapter_digest},
                    {"run_digest", version.run_digest},
                    {"job", version.job}});
  return get_version(name);
}

}  // namespace masbak::registry

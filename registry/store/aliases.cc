// What is said about versions: aliases with their history, and approvals.
#include "registry/store/session.h"
#include "registry/store/writer.h"

namespace masbak::registry {
namespace {

std::string described(const std::string& version) { return version.empty() ? "no version" : version; }

// Where the alias points, "" if there is none. The model must be locked.
std::string current_version(Session& session, const std::string& model, const std::string& alias) {
  const pqxx::result rows = session.exec("SELECT version FROM aliases WHERE model = $1 AND alias = $2", model, alias);
  return rows.empty() ? "" : text(rows[0], "version");
}

AliasChange note_change(Session& session, const AliasChange& change) {
  const pqxx::result rows = session.exec(
      "INSERT INTO alias_history (model, alias, version, previous_version, actor) VALUES ($1, $2, $3, $4, $5) "
      "RETURNING micros(time) AS time",
      change.model, change.alias, change.version, change.previous_version, session.actor());
  AliasChange noted = change;
  noted.actor = session.actor();
  noted.time = instant(rows[0], "time");
  return noted;
}

}  // namespace

std::vector<AliasChange> Reader::alias_history(const std::string& model, const std::string& alias) const {
  get_model(model);
  std::vector<AliasChange> changes;
  for (const pqxx::row& row :
       session().exec("SELECT *, micros(time) AS at FROM alias_history WHERE model = $1 AND ($2 = '' OR alias = $2) "
                      "ORDER BY number",
                      model, alias)) {
    changes.push_back({.model = text(row, "model"),
                       .alias = text(row, "alias"),
                       .version = text(row, "version"),
                       .previous_version = text(row, "previous_version"),
                       .actor = text(row, "actor"),
                       .time = instant(row, "at")});
  }
  return changes;
}

AliasChange Writer::set_alias(const std::string& alias, const std::string& version,
                              const std::optional<std::string>& expected) {
  if (!is_id(alias) || parse_version_name("models/m@" + alias).alias.empty()) {
    base::fail_input(
        "expected an alias such as 'production' (a-z, 0-9, '-', '.', '_', and not a number), found '" + alias + "'",
        {.field = "alias"});
  }
  const VersionName wanted = parse_version_name(version, "version");
  lock_model(wanted.model);
  const std::string name = get_version(version).name;
  const std::string current = current_version(session(), wanted.model, alias);
  if (expected && *expected != current) {
    fail(base::Code::kAborted, wanted.model + "@" + alias + " points at " + described(current) + ", not at " +
                                   described(*expected) + " as expected: look at what changed, then repeat");
  }
  const AliasChange change{.model = wanted.model, .alias = alias, .version = name, .previous_version = current};
  if (current == name) {
    const std::vector<AliasChange> history = alias_history(wanted.model, alias);
    return history.empty() ? change : history.back();
  }
  session().exec(
      "INSERT INTO aliases (model, alias, version) VALUES ($1, $2, $3) "
      "ON CONFLICT (model, alias) DO UPDATE SET version = excluded.version",
      wanted.model, alias, name);
  session().record("version.promote", name, {{"alias", alias}, {"previous_version", current}});
  return note_change(session(), change);
}

void Writer::remove_alias(const std::string& model, const std::string& alias) {
  lock_model(model);
  const std::string current = current_version(session(), model, alias);
  if (current.empty()) fail(base::Code::kNotFound, "there is no alias " + model + "@" + alias);
  session().exec("DELETE FROM aliases WHERE model = $1 AND alias = $2", model, alias);
  session().record("alias.remove", model + "@" + alias, {{"previous_version", current}});
  note_change(session(), {.model = model, .alias = alias, .previous_version = current});
}

std::vector<Approval> Reader::approvals(const std::string& version) const {
  const std::string name = get_version(version).name;
  std::vector<Approval> found;
  for (const pqxx::row& row :
       session().exec("SELECT *, micros(time) AS at FROM approvals WHERE version = $1 ORDER BY time, actor", name)) {
    found.push_back(
        {.version = name, .actor = text(row, "actor"), .comment = text(row, "comment"), .time = instant(row, "at")});
  }
  return found;
}

Approval Writer::approve_version(const std::string& version, const std::string& comment) {
  lock_model(parse_version_name(version).model);
  const Version approved = get_version(version);
  const pqxx::result rows = session().exec(
      "INSERT INTO approvals (version, actor, comment) VALUES ($1, $2, $3) "
      "ON CONFLICT (version, actor) DO UPDATE SET comment = excluded.comment RETURNING micros(time) AS at",
      approved.name, session().actor(), comment);
  session().record("version.approve", approved.name,
                   {{"adapter_digest", approved.adapter_digest}, {"comment", comment}});
  return {.version = approved.name, .actor = session().actor(), .comment = comment, .time = instant(rows[0], "at")};
}

}  // namespace masbak::registry

// Deployments: what should serve, and what was seen to.
#include "registry/store/enums.h"
#include "registry/store/session.h"
#include "registry/store/writer.h"

namespace masbak::registry {
namespace {

constexpr char kSelectDeployment[] =
    "SELECT *, micros(create_time) AS created, micros(update_time) AS updated FROM deployments WHERE ";
constexpr char kSelectRevision[] =
    "SELECT *, micros(create_time) AS created, micros(update_time) AS updated FROM revisions WHERE ";

// A deployment's own row, with the generations that its revisions are found by.
struct Head {
  int64_t target = 0;
  int64_t active = 0;
  bool deleted = false;
  std::string previous_version;
  std::string last_active_version;
};

Revision parse_revision(const pqxx::row& row) {
  return {.deployment = text(row, "deployment"),
          .generation = whole(row, "generation"),
          .version = text(row, "version"),
          .node = text(row, "node"),
          .port = small(row, "port"),
          .served_model_name = text(row, "served_model_name"),
          .base_model_name = text(row, "base_model_name"),
          .state = parse_enum<RevisionState>(text(row, "state"), revision_state_name, 1, 6),
          .wanted = truth(row, "wanted"),
          .endpoint = text(row, "endpoint"),
          .error = text(row, "error"),
          .create_time = instant(row, "created"),
          .update_time = instant(row, "updated")};
}

Revision get_revision(Session& session, const std::string& deployment, int64_t generation) {
  const pqxx::result rows =
      session.exec(std::string(kSelectRevision) + "deployment = $1 AND generation = $2", deployment, generation);
  if (rows.empty()) {
    fail(base::Code::kNotFound, "there is no revision " + std::to_string(generation) + " of " + deployment);
  }
  return parse_revision(rows[0]);
}

Deployment parse_deployment(Session& session, const pqxx::row& row) {
  Deployment deployment{.name = text(row, "name"),
                        .previous_version = text(row, "previous_version"),
                        .deleted = truth(row, "deleted"),
                        .create_time = instant(row, "created"),
                        .update_time = instant(row, "updated"),
                        .creator = text(row, "creator")};
  deployment.target = get_revision(session, deployment.name, whole(row, "target"));
  if (const int64_t active = whole(row, "active"); active != 0) {
    deployment.active = get_revision(session, deployment.name, active);
  }
  deployment.etag = make_etag({deployment.name, text(row, "target"), text(row, "active"), text(row, "deleted"),
                               deployment.previous_version, std::string(revision_state_name(deployment.target.state)),
                               deployment.target.endpoint, deployment.target.error});
  return deployment;
}

[[noreturn]] void fail_missing(const std::string& name) {
  fail(base::Code::kNotFound, "there is no " + name + ": list the deployments to see which there are");
}

Head lock_head(Session& session, const std::string& name) {
  id_of("deployments", name);
  const pqxx::result rows = session.exec("SELECT * FROM deployments WHERE name = $1 FOR UPDATE", name);
  if (rows.empty()) fail_missing(name);
  return {.target = whole(rows[0], "target"),
          .active = whole(rows[0], "active"),
          .deleted = truth(rows[0], "deleted"),
          .previous_version = text(rows[0], "previous_version"),
          .last_active_version = text(rows[0], "last_active_version")};
}

void require_alive(const std::string& name, const Head& head) {
  if (head.deleted) {
    fail(base::Code::kFailedPrecondition, name + " is being removed: wait until it is gone, or choose another name");
  }
}

// Revisions that are not `kept` should end; one that no node has heard of has ended with that.
void give_up_all_but(Session& session, const std::string& name, int64_t kept, int64_t also_kept) {
  session.exec(
      "UPDATE revisions SET wanted = false, update_time = now(), "
      "state = CASE WHEN node = '' AND state IN ('PENDING', 'FAILED') THEN 'STOPPED' ELSE state END "
      "WHERE deployment = $1 AND generation <> $2 AND generation <> $3 AND state <> 'STOPPED'",
      name, kept, also_kept);
}

void add_revision(Session& session, const DeployRequest& request, const std::string& action) {
  const pqxx::result added = session.exec(
      "INSERT INTO revisions (deployment, version, node, port, served_model_name, base_model_name) "
      "VALUES ($1, $2, $3, $4, $5, $6) RETURNING generation",
      request.name, request.version, request.node, request.port, request.served_model_name, request.base_model_name);
  const int64_t generation = whole(added[0], "generation");
  const int64_t active = lock_head(session, request.name).active;
  session.exec("UPDATE deployments SET target = $2, update_time = now() WHERE name = $1", request.name, generation);
  give_up_all_but(session, request.name, generation, active);
  session.record(action, request.name,
                 {{"version", request.version}, {"generation", generation}, {"node", request.node}});
}

}  // namespace

Deployment Reader::get_deployment(const std::string& name) const {
  id_of("deployments", name);
  const pqxx::result rows = session().exec(std::string(kSelectDeployment) + "name = $1", name);
  if (rows.empty()) fail_missing(name);
  return parse_deployment(session(), rows[0]);
}

Page<Deployment> Reader::list_deployments(const PageRequest& page) const {
  return read_page<Deployment>(session(), "deployments", page, std::string(kSelectDeployment) + "{page}", "number",
                               [this](const pqxx::row& row) { return parse_deployment(session(), row); });
}

std::vector<Deployment> Reader::all_deployments() const {
  std::vector<Deployment> deployments;
  for (const pqxx::row& row : session().exec(std::string(kSelectDeployment) + "true ORDER BY number DESC")) {
    deployments.push_back(parse_deployment(session(), row));
  }
  return deployments;
}

std::vector<Revision> Reader::open_revisions(const std::string& deployment) const {
  std::vector<Revision> revisions;
  for (const pqxx::row& row : session().exec(
           std::string(kSelectRevision) + "state <> 'STOPPED' AND ($1 = '' OR deployment = $1) ORDER BY generation",
           deployment)) {
    revisions.push_back(parse_revision(row));
  }
  return revisions;
}

Deployment Writer::deploy(const DeployRequest& request) {
  id_of("deployments", request.name);
  DeployRequest resolved = request;
  resolved.version = get_version(request.version).name;
  const pqxx::result added =
      session().exec("INSERT INTO deployments (name, creator) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING 1",
                     request.name, session().actor());
  const Head head = lock_head(session(), request.name);
  require_alive(request.name, head);
  if (added.empty()) {
    const Revision target = get_revision(session(), request.name, head.target);
    const bool same = target.version == resolved.version && (request.node.empty() || request.node == target.node) &&
                      (request.port == 0 || request.port == target.port);
    if (same && target.wanted && target.state != RevisionState::kFailed && target.state != RevisionState::kStopped) {
      return get_deployment(request.name);
    }
  }
  add_revision(session(), resolved, "deployment.deploy");
  return get_deployment(request.name);
}

Deployment Writer::rollback_deployment(const std::string& name) {
  const Head head = lock_head(session(), name);
  require_alive(name, head);
  const Revision target = get_revision(session(), name, head.target);
  if (head.active != 0 && head.active != head.target) {
    session().exec("UPDATE deployments SET target = active, update_time = now() WHERE name = $1", name);
    give_up_all_but(session(), name, head.active, head.active);
    const Revision active = get_revision(session(), name, head.active);
    session().record("deployment.rollback", name,
                     {{"version", active.version}, {"from", target.version}, {"generation", active.generation}});
    return get_deployment(name);
  }
  if (head.previous_version.empty()) {
    fail(base::Code::kFailedPrecondition, name + " has no version before " + target.version + " to go back to");
  }
  add_revision(session(),
               {.name = name,
                .version = head.previous_version,
                .node = target.node,
                .port = 0,
                .served_model_name = target.served_model_name,
                .base_model_name = target.base_model_name},
               "deployment.rollback");
  return get_deployment(name);
}

Deployment Writer::delete_deployment(const std::string& name, const std::string& etag) {
  const Head head = lock_head(session(), name);
  check_etag(etag, get_deployment(name).etag, name);
  if (!head.deleted) {
    session().exec("UPDATE deployments SET deleted = true, update_time = now() WHERE name = $1", name);
    give_up_all_but(session(), name, 0, 0);
    session().record("deployment.delete", name);
  }
  return get_deployment(name);
}

void Writer::remove_deployment(const std::string& name) {
  const Head head = lock_head(session(), name);
  const std::vector<Revision> open = open_revisions(name);
  if (!head.deleted || !open.empty()) {
    fail(base::Code::kFailedPrecondition,
         name + (head.deleted
                     ? " still has revision " + std::to_string(open.front().generation) + " that has not stopped"
                     : std::string(" was not deleted")));
  }
  session().exec("DELETE FROM deployments WHERE name = $1", name);
  session().record("deployment.remove", name);
}

Revision Writer::place_revision(const std::string& deployment, int64_t generation, const std::string& node) {
  id_of("nodes", node, "node");
  lock_head(session(), deployment);
  const Revision revision = get_revision(session(), deployment, generation);
  if (revision.state != RevisionState::kPending) {
    fail(base::Code::kFailedPrecondition, deployment + " revision " + std::to_string(generation) + " is " +
                                              std::string(revision_state_name(revision.state)) +
                                              ": only a PENDING one can be placed");
  }
  session().exec("UPDATE revisions SET node = $2, update_time = now() WHERE generation = $1", generation, node);
  return get_revision(session(), deployment, generation);
}

Revision Writer::observe_revision(const std::string& deployment, int64_t generation, RevisionState state,
                                  const std::string& endpoint, const std::string& error) {
  const Head head = lock_head(session(), deployment);
  const Revision before = get_revision(session(), deployment, generation);
  if (!revision_transition_is_legal(before.state, state)) {
    fail(base::Code::kFailedPrecondition, deployment + " revision " + std::to_string(generation) + " is " +
                                              std::string(revision_state_name(before.state)) + " and cannot become " +
                                              std::string(revision_state_name(state)));
  }
  if (before.state == state && before.endpoint == endpoint && before.error == error) return before;
  session().exec(
      "UPDATE revisions SET state = $2, endpoint = $3, error = $4, update_time = now() WHERE generation = $1",
      generation, std::string(revision_state_name(state)), endpoint, error);
  if (state == RevisionState::kReady && head.active != generation && before.wanted &&
      (head.target == generation || head.active == 0)) {
    const bool other = !head.last_active_version.empty() && head.last_active_version != before.version;
    session().exec(
        "UPDATE deployments SET active = $2, previous_version = $3, last_active_version = $4, update_time = now() "
        "WHERE name = $1",
        deployment, generation, other ? head.last_active_version : head.previous_version, before.version);
    give_up_all_but(session(), deployment, head.target, generation);
  } else if (state != RevisionState::kReady && head.active == generation) {
    session().exec("UPDATE deployments SET active = 0, update_time = now() WHERE name = $1", deployment);
  }
  if (before.state != state &&
      (state == RevisionState::kReady || state == RevisionState::kFailed || state == RevisionState::kStopped)) {
    const char* action = state == RevisionState::kReady    ? "deployment.ready"
                         : state == RevisionState::kFailed ? "deployment.fail"
                                                           : "deployment.stop";
    base::Json detail = {{"version", before.version}, {"generation", generation}, {"node", before.node}};
    if (!error.empty()) detail["error"] = error;
    session().record(action, deployment, detail);
  }
  return get_revision(session(), deployment, generation);
}

}  // namespace masbak::registry

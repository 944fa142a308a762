// What can be changed within a transaction.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "registry/store/reader.h"

namespace masbak::registry {

// Handed to the work of Store::write. All changes of one call become visible together, with their audit records,
// or not at all. Rows that a method changes, or whose state it checks, stay locked until the end.
//
// Every change that a person or the system decides adds one audit record, named at each method, by the actor of
// the call. What machines merely observe (job events, progress, a node's heartbeat) adds none.
//
// Common errors: INVALID_ARGUMENT for a name or digest of a wrong form; NOT_FOUND for what is named and missing;
// ABORTED where an `etag` is given, not empty and not the current one.
class Writer : public Reader {
 public:
  using Reader::Reader;

  // Create an immutable thing. One with the same name and the same content is returned as it is (no record);
  // ALREADY_EXISTS names the digest that is there if the content differs.
  Dataset create_dataset(const Dataset& dataset);       // "dataset.create"
  BaseModel create_base_model(const BaseModel& model);  // "base_model.create"

  // FAILED_PRECONDITION while a version holds its digest, or a job that has not ended uses it.
  void delete_dataset(const std::string& name, const std::string& etag = "");  // "dataset.delete"

  // Registers the next version of `version.model`, which is created if missing. A job makes one version: a repeat
  // with the same digests returns it, with others ALREADY_EXISTS.
  Version create_version(const Version& version);  // "version.create"
  // Once an actor; a repeat changes the comment only.
  Approval approve_version(const std::string& version, const std::string& comment);  // "version.approve"
  // Until the end of the transaction nobody else changes this model's aliases, gates, approvals or versions: what
  // was read afterwards (the latest gate, say) still holds when the alias is set.
  void lock_model(const std::string& model);
  // Points `alias` at `version`, of the same model. With `expected`: ABORTED, saying where it points, unless it
  // points there now ("" expects that there is no such alias). If it points at `version` already, nothing changes
  // and no record is added. Rules about gates are the caller's to ask.
  AliasChange set_alias(const std::string& alias, const std::string& version,
                        const std::optional<std::string>& expected = std::nullopt);  // "version.promote"
  void remove_alias(const std::string& model, const std::string& alias);             // "alias.remove"

  // In state QUEUED. Name, progress and times are set by the store.
  Job create_job(const Job& job);  // "job.create"
  // FAILED_PRECONDITION for an illegal transition, naming both states. The same state again changes nothing but
  // the other fields. RUNNING sets start_time (the first time), an end state end_time.
  Job update_job(const std::string& name, const JobUpdate& update);  // "job.STATE", on a change of state only
  // Adds events in order. One that is there already (seq ≤ last) is ignored; a gap is refused with OUT_OF_RANGE,
  // which names the seq expected. Carries progress into the job. Returns the last seq. Allowed in every state.
  int64_t append_job_events(const std::string& job, const std::vector<JobEvent>& events);

  // Repeats with the same digest, version and suite return the one there.
  Report create_report(const Report& report);             // "report.create"
  GateReport create_gate_report(const GateReport& gate);  // "gate.run"

  // Creates the deployment with its first revision, or adds a revision that replaces the target: an older target that
  // is not active is no longer wanted; the active one goes on until the new one is READY. The same version on
  // the same node while that target is not FAILED changes nothing. FAILED_PRECONDITION while it is being deleted.
  Deployment deploy(const DeployRequest& request);  // "deployment.deploy"
  // Deploys previous_version; or, while the target has not become active and another serves, gives the target up
  // and stays with that one. FAILED_PRECONDITION if there is neither.
  Deployment rollback_deployment(const std::string& name);  // "deployment.rollback"
  // Nothing is wanted any more; revisions go on until they are observed STOPPED.
  Deployment delete_deployment(const std::string& name, const std::string& etag = "");  // "deployment.delete"
  // The last trace goes. FAILED_PRECONDITION unless it is deleted and every revision has STOPPED.
  void remove_deployment(const std::string& name);  // "deployment.remove"

  // Where a revision is to run. FAILED_PRECONDITION unless it is PENDING.
  Revision place_revision(const std::string& deployment, int64_t generation, const std::string& node);
  // What was observed. When the target becomes READY it becomes the active one, the active one before is no
  // longer wanted, and its version becomes previous_version (if it is another). When the active one has ended
  // nothing is active. FAILED_PRECONDITION for an illegal transition.
  Revision observe_revision(const std::string& deployment, int64_t generation, RevisionState state,
                            const std::string& endpoint = "", const std::string& error = "");
  // ^ "deployment.STATE" on READY, FAILED and STOPPED

  // What an agent says of itself; the node is created by its first word. Sets last_sync_time and the state
  // (DRAINING if that is wanted, else READY).
  Node sync_node(const Node& node);  // "node.join", the first time and when it comes back from LOST
  // Nodes that were silent for that long become LOST; returns those that did now.
  std::vector<Node> mark_lost_nodes(std::chrono::milliseconds silent_for);  // "node.lost"
  Node set_node_draining(const std::string& name, bool draining);           // "node.drain", "node.resume"

  // Creates the user or changes its role.
  User put_user(const std::string& name, const std::string& role);  // "user.put"
  // ALREADY_EXISTS if the digest is there.
  Token create_token(const Token& token);              // "token.create"
  void revoke_token(const std::string& token_digest);  // "token.revoke"

  // A record of its own, for what is decided outside the registry (a refused promotion, a question asked).
  void audit(const std::string& action, const std::string& resource, const std::string& detail_json = "{}");
};

}  // namespace masbak::registry

// What can be read within a transaction.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "registry/types/access.h"
#include "registry/types/audit.h"
#include "registry/types/dataset.h"
#include "registry/types/deployment.h"
#include "registry/types/evaluation.h"
#include "registry/types/job.h"
#include "registry/types/model.h"
#include "registry/types/names.h"
#include "registry/types/node.h"
#include "registry/types/page.h"

namespace masbak::registry {

class Session;  // a connection with an open transaction; known to the store's own files only

// Handed to the work of Store::read (one snapshot: all calls see the same instant) and, as the base of Writer,
// to that of Store::write (each call sees what is committed by then, and the transaction's own changes).
// Valid within that call only; not thread-safe.
//
// Every get throws NOT_FOUND that names what is missing. Lists are newest first.
class Reader {
 public:
  explicit Reader(Session& session) : session_(session) {}
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  Dataset get_dataset(const std::string& name) const;
  Page<Dataset> list_datasets(const PageRequest& page) const;

  BaseModel get_base_model(const std::string& name) const;
  Page<BaseModel> list_base_models(const PageRequest& page) const;

  Model get_model(const std::string& name) const;
  Page<Model> list_models(const PageRequest& page) const;
  // A number or an alias (names.h). NOT_FOUND says which aliases there are.
  Version get_version(const std::string& name) const;
  // Of one model, or of all with "models/-".
  Page<Version> list_versions(const std::string& model, const PageRequest& page) const;
  // The whole history of an alias, oldest first; of all the model's aliases with an empty `alias`.
  std::vector<AliasChange> alias_history(const std::string& model, const std::string& alias = "") const;
  std::vector<Approval> approvals(const std::string& version) const;  // oldest first

  Job get_job(const std::string& name) const;
  Page<Job> list_jobs(const PageRequest& page) const;
  // All jobs in these states, oldest first: what a scheduler looks at.
  std::vector<Job> jobs_in(const std::vector<JobState>& states) const;
  // Those with seq > after, in order, at most `limit`.
  std::vector<JobEvent> job_events(const std::string& job, int64_t after_seq, int limit = 1000) const;

  Report get_report(const std::string& name) const;
  // The latest with these digests, if there is one. Empty adapter_digest: the base model's.
  std::optional<Report> find_report(const std::string& base_digest, const std::string& adapter_digest,
                                    const std::string& suite_digest) const;
  // A version's own reports and those of its base (by digest); all with an empty `version`.
  Page<Report> list_reports(const std::string& version, const PageRequest& page) const;
  // The latest of each suite digest, newest first: what a gate judges; the version's, or with `of_base` its base's.
  std::vector<Report> latest_reports(const std::string& version, bool of_base) const;

  // The latest of a version; get_ throws NOT_FOUND if no gate was run.
  GateReport get_gate_report(const std::string& version) const;
  std::optional<GateReport> find_gate_report(const std::string& version) const;

  // A deployment that is being deleted is still found, with `deleted` set.
  Deployment get_deployment(const std::string& name) const;
  Page<Deployment> list_deployments(const PageRequest& page) const;
  std::vector<Deployment> all_deployments() const;
  // Every revision that has not STOPPED, of one deployment or (empty name) of all, oldest first: what should or
  // may still run on the nodes.
  std::vector<Revision> open_revisions(const std::string& deployment = "") const;

  Node get_node(const std::string& name) const;
  Page<Node> list_nodes(const PageRequest& page) const;
  std::vector<Node> all_nodes() const;  // by name

  // The user of a valid token, by base::digest_bytes(token); nothing if it is unknown, revoked or expired.
  std::optional<User> find_user_of_token(const std::string& token_digest) const;
  User get_user(const std::string& name) const;
  std::vector<User> all_users() const;                          // by name
  std::vector<Token> tokens_of(const std::string& user) const;  // valid ones, oldest first

  // Newest first; of one resource, or of all with an empty one.
  Page<AuditRecord> list_audit(const std::string& resource, const PageRequest& page) const;
  // Walks the whole chain and compares its end with the head that is kept apart.
  AuditVerdict verify_audit() const;

  Session& session() const { return session_; }  // for the store's own files

 private:
  Session& session_;
};

}  // namespace masbak::registry

// Jobs and their events.
#include "registry/store/enums.h"
#include "registry/store/json.h"
#include "registry/store/session.h"
#include "registry/store/writer.h"

namespace masbak::registry {
namespace {

constexpr char kSelectJob[] =
    "SELECT *, micros(create_time) AS created, micros(start_time) AS started, micros(end_time) AS ended "
    "FROM jobs WHERE ";

std::string_view job_kind_name(JobKind kind) { return kind == JobKind::kTrain ? "TRAIN" : "EVALUATE"; }

JobState parse_state(const std::string& text) { return parse_enum<JobState>(text, job_state_name, 1, 5); }

Job parse_job(const pqxx::row& row) {
  using Strings = std::map<std::string, std::string>;
  Job job{.name = text(row, "name"),
          .kind = parse_enum<JobKind>(text(row, "kind"), job_kind_name, 1, 2),
          .model = text(row, "model"),
          .base_model = text(row, "base_model"),
          .dataset = text(row, "dataset"),
          .eval_dataset = text(row, "eval_dataset"),
          .version = text(row, "version"),
          .run_yaml = text(row, "run_yaml"),
          .files = from_json<Strings>(text(row, "files")),
          .adapter_digest = text(row, "adapter_digest"),
          .suite_file = text(row, "suite_file"),
          .suite_digest = text(row, "suite_digest"),
          .evaluate_base = truth(row, "evaluate_base"),
          .state = parse_state(text(row, "state")),
          .cancel_requested = truth(row, "cancel_requested"),
          .node = text(row, "node"),
          .error = text(row, "error"),
          .outputs = from_json<Strings>(text(row, "outputs")),
          .log_tail = text(row, "log_tail"),
          .last_seq = whole(row, "last_seq"),
          .step = whole(row, "step"),
          .total_steps = whole(row, "total_steps"),
          .loss = real(row, "loss"),
          .eval_loss = real(row, "eval_loss"),
          .create_time = instant(row, "created"),
          .start_time = instant(row, "started"),
          .end_time = instant(row, "ended"),
          .creator = text(row, "creator")};
  job.etag = make_etag({job.name, text(row, "state"), text(row, "cancel_requested"), job.node, job.error, job.version,
                        text(row, "outputs"), text(row, "last_seq")});
  return job;
}

Job lock_job(Session& session, const std::string& name) {
  id_of("jobs", name);
  const pqxx::result rows = session.exec(std::string(kSelectJob) + "name = $1 FOR UPDATE", name);
  if (rows.empty()) fail(base::Code::kNotFound, "there is no " + name + ": list the jobs to see which there are");
  return parse_job(rows[0]);
}

std::string action_of(JobState state) {
  switch (state) {
    case JobState::kQueued: return "job.queue";
    case JobState::kRunning: return "job.run";
    case JobState::kSucceeded: return "job.succeed";
    case JobState::kFailed: return "job.fail";
    case JobState::kCancelled: return "job.cancel";
  }
  return "job.change";
}

}  // namespace

Job Reader::get_job(const std::string& name) const {
  id_of("jobs", name);
  const pqxx::result rows = session().exec(std::string(kSelectJob) + "name = $1", name);
  if (rows.empty()) fail(base::Code::kNotFound, "there is no " + name + ": list the jobs to see which there are");
  return parse_job(rows[0]);
}

Page<Job> Reader::list_jobs(const PageRequest& page) const {
  return read_page<Job>(session(), "jobs", page, std::string(kSelectJob) + "{page}", "number", parse_job);
}

std::vector<Job> Reader::jobs_in(const std::vector<JobState>& states) const {
  std::string names = "{";
  for (JobState state : states) names += (names.size() > 1 ? "," : "") + std::string(job_state_name(state));
  std::vector<Job> jobs;
  for (const pqxx::row& row :
       session().exec(std::string(kSelectJob) + "state = ANY ($1::text[]) ORDER BY number", names + "}")) {
    jobs.push_back(parse_job(row));
  }
  return jobs;
}

std::vector<JobEvent> Reader::job_events(const std::string& job, int64_t after_seq, int limit) const {
  std::vector<JobEvent> events;
  for (const pqxx::row& row :
       session().exec("SELECT seq, type, json FROM job_events WHERE job = $1 AND seq > $2 ORDER BY seq LIMIT $3", job,
                      after_seq, limit)) {
    events.push_back({.seq = whole(row, "seq"), .type = text(row, "type"), .json = text(row, "json")});
  }
  if (events.empty()) get_job(job);
  return events;
}

Job Writer::create_job(const Job& job) {
  if (!job.adapter_digest.empty()) require_digest(job.adapter_digest, "adapter_digest");
  for (const auto& [file, digest] : job.files) require_digest(digest, "files." + file);
  const pqxx::result added = session().exec(
      "INSERT INTO jobs (kind, model, base_model, dataset, eval_dataset, version, run_yaml, files, adapter_digest, "
      "suite_file, suite_digest, evaluate_base, total_steps, creator) "
      "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) RETURNING name",
      std::string(job_kind_name(job.kind)), job.model, job.base_model, job.dataset, job.eval_dataset, job.version,
      job.run_yaml, to_json(job.files), job.adapter_digest, job.suite_file, job.suite_digest, job.evaluate_base,
      job.total_steps, session().actor());
  const std::string name = text(added[0], "name");
  session().record("job.create", name,
                   {{"kind", job_kind_name(job.kind)},
                    {"model", job.model},
                    {"base_model", job.base_model},
                    {"dataset", job.dataset},
                    {"version", job.version}});
  return get_job(name);
}

Job Writer::update_job(const std::string& name, const JobUpdate& update) {
  Job job = lock_job(session(), name);
  const JobState before = job.state;
  const JobState state = update.state.value_or(before);
  if (state != before && !job_transition_is_legal(before, state)) {
    fail(base::Code::kFailedPrecondition, name + " is " + std::string(job_state_name(before)) + " and cannot become " +
                                              std::string(job_state_name(state)));
  }
  for (const auto& [output, digest] : update.outputs) {
    require_digest(digest, "outputs." + output);
    job.outputs[output] = digest;
  }
  session().exec(
      "UPDATE jobs SET state = $2, cancel_requested = $3, node = $4, error = $5, version = $6, log_tail = $7, "
      "outputs = $8, start_time = CASE WHEN $2 = 'RUNNING' THEN coalesce(start_time, now()) ELSE start_time END, "
      "end_time = CASE WHEN $9 AND $10 THEN now() ELSE end_time END WHERE name = $1",
      name, std::string(job_state_name(state)), update.cancel_requested.value_or(job.cancel_requested),
      update.node.value_or(job.node), to_valid_text(update.error.value_or(job.error)),
      update.version.value_or(job.version), to_valid_text(update.log_tail.value_or(job.log_tail)), to_json(job.outputs),
      state != before, job_has_ended(state));
  const Job after = get_job(name);
  if (state != before) {
    base::Json detail = base::Json::object();
    if (!after.node.empty()) detail["node"] = after.node;
    if (!after.error.empty()) detail["error"] = after.error;
    if (!after.version.empty()) detail["version"] = after.version;
    if (job_has_ended(state) && !after.outputs.empty()) detail["outputs"] = after.outputs;
    session().record(action_of(state), name, detail);
  }
  return after;
}

int64_t Writer::append_job_events(const std::string& name, const std::vector<JobEvent>& events) {
  Job job = lock_job(session(), name);
  const int64_t before = job.last_seq;
  for (const JobEvent& event : events) {
    if (event.seq <= job.last_seq) continue;
    if (event.seq != job.last_seq + 1) {
      fail(base::Code::kOutOfRange, name + ": expected event " + std::to_string(job.last_seq + 1) + ", found " +
                                        std::to_string(event.seq) + ": send the events after " +
                                        std::to_string(job.last_seq));
    }
    apply_progress(job, event);
    session().exec("INSERT INTO job_events (job, seq, type, json) VALUES ($1, $2, $3, $4)", name, event.seq, event.type,
                   event.json);
    job.last_seq = event.seq;
  }
  if (job.last_seq != before) {
    session().exec(
        "UPDATE jobs SET last_seq = $2, step = $3, total_steps = $4, loss = $5, eval_loss = $6 WHERE name = $1", name,
        job.last_seq, job.step, job.total_steps, job.loss, job.eval_loss);
  }
  return job.last_seq;
}

}  // namespace masbak::registry

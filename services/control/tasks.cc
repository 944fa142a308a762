#include "services/control/tasks.h"

#include "base/document.h"
#include "base/error.h"
#include "services/control/scheduler.h"

namespace masbak::services {
namespace {

v1::Task job_task(const registry::Reader& reader, const registry::Job& job) {
  registry::BaseModel base = reader.get_base_model(job.base_model);
  v1::Task task;
  task.set_id(job.name);
  task.set_kind(job.kind == registry::JobKind::kTrain ? v1::Task::KIND_TRAIN : v1::Task::KIND_EVALUATE);
  task.set_base_model_path(base.path);
  task.set_base_model_digest(base.digest);
  task.set_adapter_digest(job.adapter_digest);
  task.set_run_yaml(job.run_yaml);
  for (const auto& [file, digest] : job.files) (*task.mutable_files())[file] = digest;
  task.set_suite_file(job.suite_file);
  task.set_evaluate_base(job.evaluate_base);
  task.set_stop(job.cancel_requested);
  return task;
}

v1::Task revision_task(const registry::Reader& reader, const registry::Revision& revision) {
  registry::Version version = reader.get_version(revision.version);
  registry::BaseModel base = reader.get_base_model(version.base_model);
  v1::Task task;
  task.set_id(task_id(revision));
  task.set_kind(v1::Task::KIND_SERVE);
  task.set_base_model_path(base.path);
  task.set_base_model_digest(base.digest);
  task.set_adapter_digest(version.adapter_digest);
  task.set_served_model_name(revision.served_model_name);
  task.set_base_model_name(revision.base_model_name);
  task.set_port(revision.port);
  task.set_stop(!revision.wanted);
  return task;
}

}  // namespace

std::vector<v1::Task> tasks_of(const registry::Reader& reader, const std::string& node) {
  std::vector<v1::Task> tasks;
  for (const auto& job : reader.jobs_in({registry::JobState::kRunning})) {
    if (job.node == node) tasks.push_back(job_task(reader, job));
  }
  for (const auto& revision : reader.open_revisions()) {
    if (revision.node == node) tasks.push_back(revision_task(reader, revision));
  }
  return tasks;
}

std::vector<registry::JobEvent> events_of(const v1::TaskStatus& status) {
  std::vector<registry::JobEvent> events;
  for (const std::string& line : status.events()) {
    base::Fields fields = base::Fields::from_json(base::parse_json(line, "events.jsonl"), "events.jsonl");
    events.push_back({fields.get<int64_t>("seq"), fields.get<std::string>("type"), line});
  }
  return events;
}

}  // namespace masbak::services

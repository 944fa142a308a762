#include "registry/types/job.h"

#include "base/document.h"

namespace masbak::registry {

std::string_view job_state_name(JobState state) {
  switch (state) {
    case JobState::kQueued: return "QUEUED";
    case JobState::kRunning: return "RUNNING";
    case JobState::kSucceeded: return "SUCCEEDED";
    case JobState::kFailed: return "FAILED";
    case JobState::kCancelled: return "CANCELLED";
  }
  return "?";
}

bool job_has_ended(JobState state) { return state != JobState::kQueued && state != JobState::kRunning; }

bool job_transition_is_legal(JobState from, JobState to) {
  if (from == JobState::kQueued) return to != JobState::kQueued && to != JobState::kSucceeded;
  if (from == JobState::kRunning) return to != JobState::kRunning;
  return false;
}

void apply_progress(Job& job, const JobEvent& event) {
  // Only the worker knows all types of events; what is no number here is left to whoever reads the line.
  const base::Json json = base::parse_json(event.json, job.name + " events.jsonl", static_cast<int>(event.seq));
  if (!json.is_object()) return;
  const auto whole = [&](const char* key, int64_t& value) {
    if (const auto found = json.find(key); found != json.end() && found->is_number_integer()) value = *found;
  };
  const auto real = [&](const char* key, double& value) {
    if (const auto found = json.find(key); found != json.end() && found->is_number()) value = *found;
  };
  whole("total_steps", job.total_steps);
  if (event.type == "step" || event.type == "eval") whole("step", job.step);
  if (event.type == "step") real("loss", job.loss);
  real("eval_loss", job.eval_loss);
}

}  // namespace masbak::registry

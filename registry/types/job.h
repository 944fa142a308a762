// Long work: training and evaluation, as jobs with states.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "registry/types/time.h"

namespace masbak::registry {

enum class JobKind { kTrain = 1, kEvaluate = 2 };

//   QUEUED ─→ RUNNING ─→ SUCCEEDED
//    │  ↑_________│├───→ FAILED         (RUNNING → QUEUED: the node was lost, another takes it up)
//    └────────────┴┴───→ CANCELLED      (QUEUED → FAILED: it cannot be placed at all)
enum class JobState { kQueued = 1, kRunning = 2, kSucceeded = 3, kFailed = 4, kCancelled = 5 };

std::string_view job_state_name(JobState state);  // "QUEUED"
bool job_has_ended(JobState state);
bool job_transition_is_legal(JobState from, JobState to);

struct Job {
  std::string name;  // "jobs/7"; set by the store
  JobKind kind = JobKind::kTrain;
  std::string model;       // "models/pump-assistant": what the job works for
  std::string base_model;  // "baseModels/demo"
  std::string dataset;     // "datasets/refinery"; empty for an evaluation
  std::string eval_dataset;
  std::string version;  // what an evaluation looks at; what a training made
  std::string run_yaml;
  // What the task on the node needs:
  std::map<std::string, std::string> files;  // file name below the job directory -> artifact digest
  std::string adapter_digest;                // EVALUATE
  std::string suite_file;                    // EVALUATE: one of `files`
  std::string suite_digest;                  // EVALUATE: identity of the suite with its data
  bool evaluate_base = false;                // EVALUATE: the base too

  // Changed by update_job and append_job_events only:
  JobState state = JobState::kQueued;
  bool cancel_requested = false;               // a running job that is being stopped
  std::string node;                            // "nodes/local", once it runs
  std::string error;                           // the reason, if FAILED
  std::map<std::string, std::string> outputs;  // "adapter", "result.json", "log", … -> artifact digest
  std::string log_tail;
  int64_t last_seq = 0;
  int64_t step = 0;
  int64_t total_steps = 0;
  double loss = 0;
  double eval_loss = 0;
  Time create_time{};
  Time start_time{};
  Time end_time{};
  std::string creator;
  std::string etag;
};

// A line of events.jsonl. `seq` counts from 1 without a gap within a job.
struct JobEvent {
  int64_t seq = 0;
  std::string type;
  std::string json;
};

// What is to change; what is not set stays.
struct JobUpdate {
  std::optional<JobState> state;
  std::optional<bool> cancel_requested;
  std::optional<std::string> node;
  std::optional<std::string> error;
  std::optional<std::string> version;
  std::optional<std::string> log_tail;
  std::map<std::string, std::string> outputs;  // added to those there
};

// Carries `step`, `total_steps`, `loss` and `eval_loss` of the events into the job's progress.
void apply_progress(Job& job, const JobEvent& event);

}  // namespace masbak::registry

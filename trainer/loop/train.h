// A training job: everything between RUN.yaml and the finished adapter, in one job directory.
//
//   JOB/run.yaml              what was asked for, every default spelled out
//   JOB/plan.json             every tensor that trains
//   JOB/events.jsonl          what happens, see events.h
//   JOB/dataset_problems.jsonl  rows that could not be used, if any
//   JOB/checkpoints/step-N/   see trainer/checkpoint
//   JOB/adapter/              the result, in PEFT's format
//   JOB/result.json           how it ended
#pragma once

#include <filesystem>

#include "trainer/run_config.h"

namespace masbak::trainer {

// Trains to the end. Before anything is allocated the run's memory is estimated: RESOURCE_EXHAUSTED with advice if it
// does not fit what is available, unless `check_memory` is false; the same if memory runs out on the way. With
// `resume` it goes on from the newest whole checkpoint of the job, and does nothing if the job is finished.
// ALREADY_EXISTS if the folder holds a job and `resume` is false; FAILED_PRECONDITION if a resume would go on with
// another model, data, plan or settings; CANCELLED after SIGTERM or SIGINT, with a checkpoint written; ABORTED if the
// loss is no longer finite. A failure leaves a `failed` event and result.json behind, and no adapter/.
void train(const RunConfig& run, const std::filesystem::path& job, bool resume, bool check_memory = true);

}  // namespace masbak::trainer

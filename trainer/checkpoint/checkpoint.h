// Checkpoints of a job: JOB/checkpoints/step-000050/ holds adapter/ (PEFT format, usable as it is),
// optimizer.safetensors and state.json. A folder appears whole or not at all, and state.json names the digests of
// the other files, so that a damaged one is seen.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "adapters/adapter.h"
#include "base/document.h"

namespace masbak::trainer {

// Everything that a run needs to go on as if it had not stopped, beside the adapter's numbers.
struct TrainState {
  int64_t step = 0;    // optimiser steps done; also the position in the data (see Batches)
  int64_t tokens = 0;  // tokens seen
  double seconds = 0;  // spent in training so far
  std::optional<double> last_eval_loss, best_eval_loss;
  int64_t best_step = 0;
  int64_t evals_without_improvement = 0;
  double last_loss = 0;
  std::vector<double> recent_losses;  // the last ones, from which a spike is told
  std::vector<int64_t> skipped;       // batches, by their number in the data, passed over after a step back; ascending
  int64_t step_backs = 0;
  // What the run was started on, by digest: a resume on anything else is refused.
  std::map<std::string, std::string> digests;
};

struct CheckpointTensors {
  at::Tensor first_moment, second_moment;  // of AdamW, flat
  at::Tensor best_parameters;              // flat; undefined if no evaluation has been the best yet
  at::Tensor dropout_state;                // of the random generator, bytes
};

// Writes one and removes all but the newest `keep` afterwards.
void write_checkpoint(const std::filesystem::path& checkpoints, const TrainState& state,
                      const CheckpointTensors& tensors, const adapters::Adapter& adapter,
                      const std::vector<adapters::PlanPlace>& places, const std::string& base_model, int keep);

// Removes all but the newest `keep`.
void keep_newest(const std::filesystem::path& checkpoints, int keep);

struct FoundCheckpoint {
  std::filesystem::path folder;
  TrainState state;
  CheckpointTensors tensors;
};

// The newest checkpoint whose files have the digests that it names. `damaged` receives a message for each newer one
// that was passed over. Nothing if there is none.
std::optional<FoundCheckpoint> find_checkpoint(const std::filesystem::path& checkpoints,
                                               std::vector<std::string>* damaged);

}  // namespace masbak::trainer

// What a training step takes, measured on the first layers of the model itself.
#pragma once

#include <cstdint>
#include <optional>
#include <set>

#include "adapters/plan.h"
#include "trainer/estimate/largest_batches.h"
#include "trainer/estimate/shapes.h"
#include "trainer/run_config.h"

namespace masbak::trainer {

struct Probe {
  int64_t tensors = 0;  // of the whole model: most bytes of tensors at a time, copied weights included
  int64_t program = 0;  // resident bytes beside tensors and the files of the model
  int64_t further = 0;  // of tensors, what each layer behind those that were tried adds; 0 where all were tried
  double seconds = 0;   // of a step over the first of LargestBatches::train, by the whole model
  int64_t layers = 0;   // how many were loaded and trained
  // Of the rows of a part of a batch, what each expert of these layers got; and how many rows that were.
  double smallest_share = 1, largest_share = 0;
  std::set<int64_t> expert_rows;
};

// How many layers a probe needs: all behind the last but one of them are like the last. `layers` itself if there are
// no such; a pure function.
int64_t layers_to_probe(const ModelShapes& shapes, const adapters::Plan& plan);

// Trains the first layers for two steps and times a few more, once with one layer less, and goes on in a straight line:
// every further layer is like the last of these. Changes nothing on disk and leaves the memory it took to the process,
// for the tensors of a run that follows. Needs use_tensor_pool(); INTERNAL without it. Errors as Trainer's; none if
// memory does not do for it: then nothing is known.
std::optional<Probe> probe(const RunConfig& run, const ModelShapes& shapes, const adapters::Plan& plan,
                           const LargestBatches& batches);

}  // namespace masbak::trainer

// The sizes of a run's model, and what its weights take, from config.json and the headers of the files alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "adapters/plan.h"
#include "models/families/causal_model.h"
#include "trainer/run_config.h"

namespace masbak::trainer {

struct ModelShapes {
  models::ModelInfo info;
  std::vector<std::string> wide;            // slots that compute in float32 whatever the run's type
  std::vector<adapters::PlanPlace> places;  // of the model, as `plan` has them
  int64_t heads = 0;

  // The place of layer `layer` whose name ends so; null if there is none.
  const adapters::PlanPlace* find(int64_t layer, const std::string& end) const;
};

struct WeightMemory {
  int64_t mapped = 0;          // used where they lie in the files, or read there once
  int64_t copied = 0;          // converted, put together from parts, or scales held in float32
  int64_t largest_source = 0;  // of a file, beside the copies while it is read
};

// Errors as models::describe_model.
ModelShapes model_shapes(const RunConfig& run);
WeightMemory weight_memory(const RunConfig& run, const ModelShapes& shapes);

}  // namespace masbak::trainer

// The sizes of a model from its config.json and the headers of its weights alone; no weight is read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "adapters/plan.h"
#include "base/document.h"
#include "models/families/causal_model.h"

namespace masbak::trainer {

struct ModelShapes {
  models::ModelInfo info;
  int64_t heads = 0;                        // num_attention_heads
  std::vector<adapters::PlanPlace> places;  // what adapters::places gives for the loaded model
  // Bytes of weights that are used where they lie in the files, and of those that are converted or joined to a copy
  // in memory.
  int64_t mapped_bytes = 0, copied_bytes = 0;
  // Pages of files that are read for the copies: all of them, resident while the model is loaded, and those that stay
  // so because other weights of their file are used where they lie.
  int64_t source_bytes = 0, staying_source_bytes = 0;

  // The place of layer `layer` whose name ends so; null if there is none.
  const adapters::PlanPlace* find(int64_t layer, const std::string& end) const;
};

// `dtype`: what the run computes in, "float32" or "bfloat16". Errors as Family::describe and Checkpoint.
ModelShapes model_shapes(const std::filesystem::path& folder, const std::string& dtype);

}  // namespace masbak::trainer

// The bytes of a training step by the shapes of model, plan and batch. Plain arithmetic.
//
// The formulas follow what models/layers keeps for the gradient; a change there that keeps more or less is a change
// here, and tests/trainer/estimate_test.py compares both.
#pragma once

#include <cstdint>

#include "adapters/plan.h"
#include "trainer/estimate/shapes.h"
#include "trainer/run_config.h"

namespace masbak::trainer {

// The largest micro-batch of a run.
struct BatchShape {
  int64_t tokens = 0;         // through the model at once
  int64_t labelled = 0;       // rows of logits
  int64_t longest = 0;        // tokens of its longest sequence
  int64_t padded_tokens = 0;  // with each sequence filled up to a multiple of 32
};

struct StepMemory {
  int64_t activations = 0;  // kept from the forward for the backward pass
  int64_t workspace = 0;    // of the layer that is at work
  int64_t logits = 0;       // of one chunk
};
StepMemory step_memory(const RunConfig& run, const ModelShapes& shapes, const adapters::Plan& plan,
                       const BatchShape& batch);

}  // namespace masbak::trainer

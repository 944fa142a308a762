// The bytes of a training step by the shapes of model, plan and batch. Plain arithmetic.
//
// Rough: the formulas follow what models/layers keeps for the gradient of what one thread takes through it. They say
// what a model needs that is too large to be tried (probe.h), and whether trying is worth it.
#pragma once

#include <cstdint>
#include <vector>

#include "adapters/plan.h"
#include "trainer/estimate/largest_batches.h"
#include "trainer/estimate/shapes.h"
#include "trainer/run_config.h"

namespace masbak::trainer {

struct StepMemory {
  int64_t activations = 0;  // kept from the forward for the backward pass
  int64_t workspace = 0;    // beside it at the moment of the peak: of the layer that is at work, or a chunk of logits
  int64_t peak() const { return activations + workspace; }
};
// `again`, one for each layer: whether it is computed again on the way back.
StepMemory step_memory(const RunConfig& run, const ModelShapes& shapes, const adapters::Plan& plan,
                       const BatchShape& batch, const std::vector<bool>& again);

}  // namespace masbak::trainer

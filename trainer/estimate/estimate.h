// What a run will need, told before anything of it is allocated.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/document.h"
#include "trainer/run_config.h"

namespace masbak::trainer {

// Memory is what the kernel counts as resident (VmHWM): mapped weights count, since a run that loses their
// pages reads them again and again. The parts are those of the moment of the peak, the first backward pass.
struct Estimate {
  std::vector<std::pair<std::string, int64_t>> parts;  // name and bytes: "weights_mapped_bytes", …
  int64_t peak_memory_bytes = 0;                       // their sum
  int64_t available_memory_bytes = 0;                  // as available_memory_bytes() says, or the run's memory_budget
  int64_t memory_budget_bytes = 0;                     // 0: there is none
  int64_t measured_layers = 0;      // of the model's first, on which a step was measured; 0: all is calculated
  int64_t checkpointed_layers = 0;  // how many are computed again on the way back; of `auto`, the first so many
  int64_t trainable_parameters = 0;
  int64_t tokens_per_batch = 0;  // of the largest micro-batch
  int64_t total_steps = 0, total_tokens = 0;
  double tokens_per_second = 0, seconds = 0;

  bool fits() const { return available_memory_bytes < 0 || peak_memory_bytes <= available_memory_bytes; }
  base::Json to_json() const;
  // What to lower, the most effective first; empty if it fits.
  std::string advice(const RunConfig& run) const;
};

// Reads the configuration, the headers of the weights and the dataset. `measure`: trains the first layers of the model
// for two steps (probe.h), which takes seconds and a few layers' memory, and from which memory and speed follow. Where
// some layers are computed again, that is done with none and with all of them, and the rest lies in between by the
// formulas of memory.h. Without it, and for a model whose layers are too large for that, memory is calculated, to about
// a third; then, where `measure` asks for it, the speed follows from the arithmetic and the rate of a product of
// matrices. gradient_checkpointing `auto` is planned: the fewest first layers with which the run fits, with a third to
// spare where nothing was measured; if none do, those that take least.
Estimate estimate(const RunConfig& run, bool measure = true);

}  // namespace masbak::trainer

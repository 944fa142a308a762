// An adapter in memory: a plan and the numbers of every target.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "adapters/layers.h"
#include "adapters/plan.h"

namespace masbak::adapters {

// factors[i] belongs to plan.targets[i]: [rank, in] and [out, rank], or with experts [experts, rank, in] and
// [experts, out, rank]. The file holds the same numbers in PEFT's layout.
struct Adapter {
  Plan plan;
  std::vector<LoraFactors> factors;
  std::shared_ptr<LoraDropout> dropout = std::make_shared<LoraDropout>();

  // Every A and B, in the order of the plan: what an optimiser needs.
  std::vector<at::Tensor> tensors() const;
};

// A fresh one, as PEFT starts it: A uniform in ±1/sqrt(in) (Kaiming with a = sqrt 5), B zero. float32 on the CPU,
// the same numbers for the same plan and seed.
Adapter new_adapter(const Plan& plan, uint64_t seed);

// Replaces the model's slots by wrappers. The factors are shared, not copied: training them trains the model.
// `model` keeps no hold on `adapter` itself. INTERNAL if the plan was made for another model.
void attach(models::CausalModel& model, const Adapter& adapter);

}  // namespace masbak::adapters

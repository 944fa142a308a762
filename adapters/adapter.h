// An adapter in memory: a plan and the numbers of every target.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
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
  // Copies of a base's embedding or head that PEFT wrote beside a LoRA on them, by slot: attach() refuses a base that
  // differs.
  std::map<std::string, at::Tensor> base_copies;

  // Everything that trains, in the order of the plan: what an optimiser needs.
  std::vector<at::Tensor> tensors() const;
};

at::Tensor& part_of(LoraFactors& factors, Part part);
const at::Tensor& part_of(const LoraFactors& factors, Part part);

// A trained tensor with its name and what the optimiser should know of it.
struct TrainedTensor {
  std::string key;     // in adapter_model.safetensors
  at::Tensor* tensor;  // in the adapter
  double learning_rate_factor = 1;
  bool decays = true;   // false for a bias, as in transformers
  int64_t experts = 0;  // above 0: the first dimension of the tensor counts experts
  std::string slot;
  std::vector<int64_t> chosen_experts;  // as Target's

  bool trains_expert(int64_t expert) const;
};
// In the order of the plan. `learning_rate` is the run's, for LoRA+'s rate of the embedding.
std::vector<TrainedTensor> trained_tensors(Adapter& adapter, double learning_rate = 1);

// A fresh one, as PEFT starts it: by default A uniform in ±1/sqrt(in) (Kaiming with a = sqrt 5), B zero. float32 on
// the CPU, the same numbers for the same plan and seed. What depends on the base comes by initialise().
Adapter new_adapter(const Plan& plan, uint64_t seed);

// Fills in what a fresh adapter takes from the base, as far as it is missing: DoRA's magnitudes, whole copies,
// PiSSA's start. Before attach(); does nothing for an adapter that was read from a folder.
void initialise(Adapter& adapter, models::CausalModel& model);

// Copies the numbers of `from`, which was read from a folder that `to` was written to, into the tensors of `to`.
// DATA_LOSS if they have other targets.
void copy_numbers(Adapter& to, const Adapter& from);

// The same numbers in tensors of their own, which do not train; without dropout.
Adapter copy_of(const Adapter& adapter);

// The same function over the unchanged base without a PiSSA start: A becomes [A; A0], B becomes [B, -B0], of twice
// the rank, as PEFT converts it. Shares the tensors of an adapter that has no such start.
Adapter without_start(const Adapter& adapter);

// Replaces the model's slots by wrappers. The factors are shared, not copied: training them trains the model.
// `model` keeps no hold on `adapter` itself. INTERNAL if the plan was made for another model; FAILED_PRECONDITION if
// the adapter holds a copy of a base weight that is not this model's.
void attach(models::CausalModel& model, const Adapter& adapter);

}  // namespace masbak::adapters

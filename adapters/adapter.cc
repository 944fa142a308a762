#include "adapters/adapter.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <map>

#include "base/error.h"

namespace masbak::adapters {

std::vector<at::Tensor> Adapter::tensors() const {
  std::vector<at::Tensor> result;
  for (const LoraFactors& pair : factors) {
    result.push_back(pair.a);
    result.push_back(pair.b);
  }
  return result;
}

Adapter new_adapter(const Plan& plan, uint64_t seed) {
  Adapter adapter;
  adapter.plan = plan;
  adapter.dropout->probability = plan.config.lora_dropout;
  adapter.dropout->generator = at::detail::createCPUGenerator(seed ^ 0x6c6f7261);  // not the stream of the start
  at::Generator generator = at::detail::createCPUGenerator(seed);
  for (const Target& target : plan.targets) {
    std::vector<int64_t> a{target.rank, target.in}, b{target.out, target.rank};
    if (target.experts > 0) {
      a.insert(a.begin(), target.experts);
      b.insert(b.begin(), target.experts);
    }
    const double bound = 1 / std::sqrt(static_cast<double>(target.in));
    adapter.factors.push_back(
        {at::empty(a, at::kFloat).uniform_(-bound, bound, generator), at::zeros(b, at::kFloat), target.scale});
  }
  return adapter;
}

void attach(models::CausalModel& model, const Adapter& adapter) {
  std::map<std::string, models::Slot> slots;
  for (const models::Slot& slot : model.slots()) slots[slot.name] = slot;
  for (size_t i = 0; i < adapter.factors.size(); ++i) {
    const Target& target = adapter.plan.targets[i];
    const auto found = slots.find(target.slot);
    if (found == slots.end()) {
      throw base::Error(base::Code::kInternal, "the model has no slot '" + target.slot + "' of the plan");
    }
    const models::Slot& slot = found->second;
    if (target.experts > 0) {
      *slot.experts = wrap_experts(*slot.experts, adapter.factors[i]);
    } else {
      *slot.linear = wrap_linear(*slot.linear, adapter.factors[i], adapter.dropout);
    }
  }
  model.weights_changed();
}

}  // namespace masbak::adapters

#include "adapters/adapter.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/linalg_qr.h>
#include <ATen/ops/linalg_svd.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "base/error.h"

namespace masbak::adapters {
namespace {

std::vector<int64_t> per_expert(const Target& target, std::vector<int64_t> shape) {
  if (target.experts > 0) shape.insert(shape.begin(), target.experts);
  return shape;
}

// Zeros for the experts that do not train: where A and B are both zero, neither gets a gradient.
void leave_out_experts(const Target& target, LoraFactors* pair) {
  if (target.chosen_experts.empty()) return;
  const std::vector<int64_t>& chosen = target.chosen_experts;
  for (int64_t e = 0; e < target.experts; ++e) {
    if (std::binary_search(chosen.begin(), chosen.end(), e)) continue;
    for (at::Tensor* tensor : {&pair->a, &pair->b, &pair->start_a, &pair->start_b}) {
      if (tensor->defined()) tensor->select(0, e).zero_();
    }
  }
}

LoraFactors new_factors(const Target& target, const std::string& start, at::Generator& generator) {
  const auto uniform = [&](std::vector<int64_t> shape, double fan_in) {
    const double bound = 1 / std::sqrt(fan_in);
    return at::empty(per_expert(target, std::move(shape)), at::kFloat).uniform_(-bound, bound, generator);
  };
  const std::vector<int64_t> a{target.rank, target.in}, b{target.out, target.rank};
  LoraFactors pair;
  pair.scale = target.scale;
  if (target.full) return pair;
  if (target.is_embedding()) {
    pair.a = start == "false" ? at::empty(a, at::kFloat).normal_(0, 1, generator) : at::zeros(a, at::kFloat);
    pair.b = at::empty(b, at::kFloat).normal_(0, 1, generator);
    return pair;
  }
  if (start == "gaussian") {
    const double deviation = 1 / static_cast<double>(target.rank);
    pair.a = at::empty(per_expert(target, a), at::kFloat).normal_(0, deviation, generator);
  } else {
    pair.a = uniform(a, static_cast<double>(target.in));
  }
  if (start == "false") {
    pair.b = uniform(b, static_cast<double>(target.rank * std::max<int64_t>(target.experts, 1)));
  } else {
    pair.b = at::zeros(per_expert(target, b), at::kFloat);
  }
  if (target.lora_bias) pair.bias_O = at::zeros({target.out}, at::kFloat);
  return pair;
}

// The `rank` largest singular values with their vectors, [.., O, R], [.., R], [.., R, I]: exactly, or by the
// randomised range finder with `iterations` power iterations (Halko, Martinsson and Tropp 2009, algorithm 4.4), as
// PyTorch's svd_lowrank.
std::tuple<at::Tensor, at::Tensor, at::Tensor> largest(const at::Tensor& w, int64_t rank, int64_t iterations,
                                                       at::Generator& generator) {
  if (iterations < 0) {
    auto [u, s, vh] = at::linalg_svd(w, /*full_matrices=*/false);
    return {u.narrow(-1, 0, rank), s.narrow(-1, 0, rank), vh.narrow(-2, 0, rank)};
  }
  std::vector<int64_t> shape = w.sizes().vec();
  shape[shape.size() - 2] = shape.back();
  shape.back() = rank;
  const at::Tensor wt = w.transpose(-2, -1);
  at::Tensor q = std::get<0>(at::linalg_qr(at::matmul(w, at::empty(shape, at::kFloat).normal_(0, 1, generator))));
  for (int64_t i = 0; i < iterations; ++i) {
    q = std::get<0>(at::linalg_qr(at::matmul(wt, q)));
    q = std::get<0>(at::linalg_qr(at::matmul(w, q)));
  }
  auto [u, s, vh] = at::linalg_svd(at::matmul(q.transpose(-2, -1), w), /*full_matrices=*/false);
  return {at::matmul(q, u), s, vh};
}

void start_with_principal(const Target& target, const std::string& start, const at::Tensor& weight,
                          at::Generator& generator, LoraFactors* pair) {
  const std::string niter = "pissa_niter_";
  const int64_t iterations = start.starts_with(niter) ? std::stoll(start.substr(niter.size())) : -1;
  if (target.rank > std::min(target.in, target.out)) {
    base::fail_input("PiSSA needs a rank of at most " + std::to_string(std::min(target.in, target.out)) + " at '" +
                         target.slot + "', found " + std::to_string(target.rank),
                     {"", 0, "adapter.r"});
  }
  const auto [u, s, vh] = largest(weight.to(at::kFloat), target.rank, iterations, generator);
  const at::Tensor root = (s / pair->scale).sqrt();
  pair->a = (root.unsqueeze(-1) * vh).contiguous();
  pair->b = (u * root.unsqueeze(-2)).contiguous();
  pair->start_a = pair->a.clone();
  pair->start_b = pair->b.clone();
}

// The weight that the target changes, as the model holds it now.
at::Tensor base_weight(models::CausalModel& model, const std::map<std::string, models::Slot>& slots,
                       const Target& target) {
  if (target.is_embedding()) return (*model.embedding())->weight();
  const auto found = slots.find(target.slot);
  if (found == slots.end()) {
    throw base::Error(base::Code::kInternal, "the model has no slot '" + target.slot + "' of the plan");
  }
  return target.experts > 0 ? (*found->second.experts)->weight() : (*found->second.linear)->weight();
}

std::map<std::string, models::Slot> slots_by_name(models::CausalModel& model) {
  std::map<std::string, models::Slot> slots;
  for (const models::Slot& slot : model.slots()) slots[slot.name] = slot;
  return slots;
}

// Everything that a forward pass reads, where the model's weights are.
LoraFactors moved(LoraFactors pair, const at::Device& device) {
  for (at::Tensor* tensor :
       {&pair.a, &pair.b, &pair.bias_O, &pair.magnitude_O, &pair.full, &pair.start_a, &pair.start_b}) {
    if (tensor->defined()) *tensor = tensor->to(device);
  }
  return pair;
}

void check_base_copies(models::CausalModel& model, const std::map<std::string, models::Slot>& slots,
                       const Adapter& adapter) {
  for (const Target& target : adapter.plan.targets) {
    const auto copy = adapter.base_copies.find(target.slot);
    if (copy == adapter.base_copies.end()) continue;
    const at::Tensor weight = base_weight(model, slots, target);
    if (at::equal(copy->second.to(weight.device(), weight.scalar_type()), weight)) continue;
    throw base::Error(base::Code::kFailedPrecondition,
                      "the adapter brings a base weight for '" + target.slot +
                          "' that is not this model's; was its vocabulary changed? Load it over the model that it "
                          "was trained on");
  }
}

// A row of zeros has no direction: its norm would make the first step, and PEFT's, NaN.
at::Tensor first_magnitude(const Target& target, const at::Tensor& weight, const LoraFactors& pair) {
  const at::Tensor norms = target.is_embedding() ? column_norms(weight, pair) : row_norms(weight, pair);
  const at::Tensor zeros = norms.eq(0).nonzero();
  if (zeros.size(0) == 0) return norms.contiguous();
  throw base::Error(base::Code::kFailedPrecondition,
                    "DoRA divides by the norms of a weight, and " + std::to_string(zeros.size(0)) + " of the " +
                        std::to_string(norms.size(0)) + " of '" + target.slot + "' are zero (the first is number " +
                        std::to_string(zeros[0][0].item<int64_t>()) +
                        "): leave it out of adapter.target_modules, or set adapter.use_dora: false");
}

}  // namespace

at::Tensor& part_of(LoraFactors& factors, Part part) {
  switch (part) {
    case Part::kA: return factors.a;
    case Part::kB: return factors.b;
    case Part::kBias: return factors.bias_O;
    case Part::kMagnitude: return factors.magnitude_O;
    case Part::kFull: return factors.full;
  }
  throw base::Error(base::Code::kInternal, "a part of a target without a tensor");
}

const at::Tensor& part_of(const LoraFactors& factors, Part part) {
  return part_of(const_cast<LoraFactors&>(factors), part);
}

std::vector<at::Tensor> Adapter::tensors() const {
  std::vector<at::Tensor> result;
  for (size_t i = 0; i < factors.size(); ++i) {
    for (const TargetTensor& tensor : plan.targets[i].tensors()) result.push_back(part_of(factors[i], tensor.part));
  }
  return result;
}

bool TrainedTensor::trains_expert(int64_t expert) const {
  return chosen_experts.empty() || std::binary_search(chosen_experts.begin(), chosen_experts.end(), expert);
}

std::vector<TrainedTensor> trained_tensors(Adapter& adapter, double learning_rate) {
  std::vector<TrainedTensor> result;
  for (size_t i = 0; i < adapter.factors.size(); ++i) {
    const Target& target = adapter.plan.targets[i];
    for (const TargetTensor& tensor : target.tensors()) {
      const double factor = target.learning_rate_factor(tensor.part, adapter.plan.config, learning_rate);
      result.push_back({tensor.key, &part_of(adapter.factors[i], tensor.part), factor, tensor.part != Part::kBias,
                        target.experts, target.slot, target.chosen_experts});
    }
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
    adapter.factors.push_back(new_factors(target, plan.config.init_lora_weights, generator));
    leave_out_experts(target, &adapter.factors.back());
  }
  return adapter;
}

void initialise(Adapter& adapter, models::CausalModel& model) {
  const at::NoGradGuard no_grad;
  const std::map<std::string, models::Slot> slots = slots_by_name(model);
  const std::string& start = adapter.plan.config.init_lora_weights;
  at::Generator generator = at::detail::createCPUGenerator(0x7069737361);
  for (size_t i = 0; i < adapter.factors.size(); ++i) {
    const Target& target = adapter.plan.targets[i];
    LoraFactors& pair = adapter.factors[i];
    pair = moved(std::move(pair), model.embedding_weight().device());
    const bool principal = start.starts_with("pissa") && !target.full && !pair.start_a.defined();
    const bool magnitude = target.dora && !pair.magnitude_O.defined();
    const bool copy = target.full && !pair.full.defined();
    if (!principal && !magnitude && !copy) continue;
    const at::Tensor weight = base_weight(model, slots, target).detach();
    if (copy) pair.full = weight.to(at::kFloat, /*non_blocking=*/false, /*copy=*/true).contiguous();
    if (principal) {  // on the CPU, whose random numbers it draws
      start_with_principal(target, start, weight.cpu(), generator, &pair);
      leave_out_experts(target, &pair);
      pair = moved(std::move(pair), weight.device());
    }
    if (magnitude) pair.magnitude_O = first_magnitude(target, weight, pair);
  }
}

void copy_numbers(Adapter& to, const Adapter& from) {
  const at::NoGradGuard no_grad;
  const auto fail = [](const std::string& slot) {
    throw base::Error(base::Code::kDataLoss,
                      "the saved adapter has other targets or ranks than the plan, at '" + slot + "'");
  };
  if (to.factors.size() != from.factors.size()) fail("targets");
  for (size_t i = 0; i < to.factors.size(); ++i) {
    const Target& target = to.plan.targets[i];
    if (target.slot != from.plan.targets[i].slot) fail(target.slot);
    const bool doubled = to.factors[i].start_a.defined();
    for (const TargetTensor& tensor : target.tensors()) {
      at::Tensor& own = part_of(to.factors[i], tensor.part);
      at::Tensor saved = part_of(from.factors[i], tensor.part);
      if (!saved.defined() || !own.defined()) fail(target.slot);
      if (doubled && tensor.part == Part::kA) saved = saved.narrow(-2, 0, target.rank);
      if (doubled && tensor.part == Part::kB) saved = saved.narrow(-1, 0, target.rank);
      if (saved.sizes() != own.sizes()) fail(target.slot);
      own.copy_(saved);
    }
  }
}

Adapter copy_of(const Adapter& adapter) {
  Adapter copy;
  copy.plan = adapter.plan;
  copy.base_copies = adapter.base_copies;
  for (const LoraFactors& pair : adapter.factors) {
    LoraFactors& own = copy.factors.emplace_back(pair);
    for (at::Tensor* tensor : {&own.a, &own.b, &own.bias_O, &own.magnitude_O, &own.full, &own.start_a, &own.start_b}) {
      if (tensor->defined()) *tensor = tensor->detach().clone();
    }
  }
  return copy;
}

Adapter without_start(const Adapter& adapter) {
  Adapter plain = adapter;
  bool changed = false;
  for (size_t i = 0; i < plain.factors.size(); ++i) {
    LoraFactors& pair = plain.factors[i];
    if (!pair.start_a.defined()) continue;
    pair.a = at::cat({pair.a.detach(), pair.start_a}, -2);
    pair.b = at::cat({pair.b.detach(), -pair.start_b}, -1);
    pair.start_a = pair.start_b = at::Tensor();
    plain.plan.targets[i].rank *= 2;
    changed = true;
  }
  if (changed) {
    LoraConfig& config = plain.plan.config;
    config.lora_alpha *= config.use_rslora ? std::sqrt(2.0) : 2.0;  // the scale stays
    config.r *= 2;
    config.init_lora_weights = "true";
  }
  return plain;
}

void attach(models::CausalModel& model, const Adapter& adapter) {
  const at::Device device = model.embedding_weight().device();
  const std::map<std::string, models::Slot> slots = slots_by_name(model);
  check_base_copies(model, slots, adapter);
  for (size_t i = 0; i < adapter.factors.size(); ++i) {
    const Target& target = adapter.plan.targets[i];
    for (const TargetTensor& tensor : target.tensors()) {
      if (part_of(adapter.factors[i], tensor.part).defined()) continue;
      throw base::Error(base::Code::kInternal, "'" + tensor.key + "' has no numbers; initialise() comes first");
    }
    if (target.is_embedding()) {
      if (!model.embedding()) {
        throw base::Error(base::Code::kInternal, "the model's embedding cannot be replaced");
      }
      *model.embedding() = wrap_embedding(*model.embedding(), moved(adapter.factors[i], device));
      continue;
    }
    const auto found = slots.find(target.slot);
    if (found == slots.end()) {
      throw base::Error(base::Code::kInternal, "the model has no slot '" + target.slot + "' of the plan");
    }
    const models::Slot& slot = found->second;
    if (target.experts > 0) {
      *slot.experts = wrap_experts(*slot.experts, moved(adapter.factors[i], device));
    } else {
      *slot.linear = wrap_linear(*slot.linear, moved(adapter.factors[i], device), adapter.dropout);
    }
  }
  model.weights_changed();
}

}  // namespace masbak::adapters

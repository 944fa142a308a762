#include "adapters/promise.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <string_view>

#include "base/digest.h"
#include "base/error.h"

namespace masbak::adapters {
namespace {

std::string digest(const at::Tensor& tensor) {
  const at::Tensor plain = tensor.detach().to(at::kCPU).contiguous();
  return base::digest_bytes(std::string_view(static_cast<const char*>(plain.const_data_ptr()), plain.nbytes()));
}

std::string some_of(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size() && i < 3; ++i) text += (i > 0 ? ", " : "") + names[i];
  if (names.size() > 3) text += " and " + std::to_string(names.size() - 3) + " more";
  return text;
}

std::string idle_text(const std::map<std::string, std::vector<int64_t>>& idle) {
  std::vector<std::string> places;
  for (const auto& [slot, experts] : idle) {
    std::string numbers;
    for (int64_t expert : experts) numbers += (numbers.empty() ? " " : ", ") + std::to_string(expert);
    places.push_back(slot + ":" + numbers);
  }
  return some_of(places);
}

}  // namespace

std::vector<std::string> PromiseReport::warnings() const {
  std::vector<std::string> list;
  if (!frozen_changed.empty()) {
    list.push_back(std::to_string(frozen_changed.size()) +
                   " weights changed that the plan does not name: " + some_of(frozen_changed));
  }
  if (!unchanged.empty()) {
    list.push_back(std::to_string(unchanged.size()) + " of " + std::to_string(trained_tensors) +
                   " tensors of the plan are as they were at the start: " + some_of(unchanged));
  }
  if (!zero_gradient.empty()) {
    list.push_back(std::to_string(zero_gradient.size()) +
                   " tensors had no gradient in the whole run: " + some_of(zero_gradient));
  }
  if (!idle_experts.empty()) {
    list.push_back("no token was routed to these experts in the whole run, they learnt nothing: " +
                   idle_text(idle_experts));
  }
  return list;
}

base::Json PromiseReport::to_json() const {
  base::Json idle = base::Json::object();
  for (const auto& [slot, experts] : idle_experts) idle[slot] = experts;
  return {{"kept", kept()},         {"trained_tensors", trained_tensors}, {"frozen_tensors", frozen_tensors},
          {"unchanged", unchanged}, {"zero_gradient", zero_gradient},     {"frozen_changed", frozen_changed},
          {"idle_experts", idle}};
}

at::Tensor Promise::Held::weight() const {
  if (linear) return linear->weight();
  return experts ? experts->weight() : embedding->weight();
}

Promise::Promise(Adapter& adapter, models::CausalModel& model, bool base) {
  const at::NoGradGuard no_grad;
  for (const TrainedTensor& trained : trained_tensors(adapter)) trained_[trained.key] = digest(*trained.tensor);
  if (!base) return;
  if (model.embedding()) base_.push_back({kEmbeddingSlot, "", nullptr, nullptr, *model.embedding()});
  for (const models::Slot& slot : model.slots()) {
    Held held{slot.name, "", nullptr, nullptr, nullptr};
    if (slot.linear) held.linear = *slot.linear;
    if (slot.experts) held.experts = *slot.experts;
    base_.push_back(std::move(held));
  }
  for (Held& held : base_) held.digest = digest(held.weight());
}

PromiseReport Promise::report(Adapter& adapter, const std::vector<at::Tensor>& second_moments) const {
  const at::NoGradGuard no_grad;
  const std::vector<TrainedTensor> trained = trained_tensors(adapter);
  if (!second_moments.empty() && second_moments.size() != trained.size()) {
    throw base::Error(base::Code::kInternal, "the promise needs the second moment of every trained tensor");
  }
  PromiseReport report;
  report.trained_tensors = static_cast<int64_t>(trained.size());
  report.frozen_tensors = static_cast<int64_t>(base_.size());
  for (size_t i = 0; i < trained.size(); ++i) {
    const TrainedTensor& tensor = trained[i];
    const auto before = trained_.find(tensor.key);
    if (before == trained_.end() || before->second == digest(*tensor.tensor)) report.unchanged.push_back(tensor.key);
    for (int64_t e = 0; e < tensor.experts; ++e) {
      if (tensor.trains_expert(e) || !tensor.tensor->select(0, e).any().item<bool>()) continue;
      report.frozen_changed.push_back(tensor.key + ", expert " + std::to_string(e));
    }
    if (second_moments.empty()) continue;
    const at::Tensor& moment = second_moments[i];
    if (moment.eq(0).all().item<bool>()) {
      report.zero_gradient.push_back(tensor.key);
    } else if (tensor.experts > 0) {
      const at::Tensor idle = moment.flatten(1).eq(0).all(1).nonzero().flatten();
      for (int64_t k = 0; k < idle.numel(); ++k) {
        const int64_t expert = idle[k].item<int64_t>();
        if (!tensor.trains_expert(expert)) continue;
        std::vector<int64_t>& experts = report.idle_experts[tensor.slot];
        // A and B of one target say the same.
        if (std::find(experts.begin(), experts.end(), expert) == experts.end()) experts.push_back(expert);
      }
    }
  }
  for (const Held& held : base_) {
    if (digest(held.weight()) != held.digest) report.frozen_changed.push_back(held.name);
  }
  return report;
}

}  // namespace masbak::adapters

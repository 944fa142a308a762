#include "adapters/file.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/isfinite.h>

#include <map>
#include <set>

#include "adapters/peft_config.h"
#include "adapters/single_experts.h"
#include "base/digest.h"
#include "base/durable_file.h"
#include "base/error.h"
#include "models/checkpoint/safetensors.h"
#include "models/checkpoint/tensor.h"

namespace masbak::adapters {
namespace {

namespace fs = std::filesystem;
using models::TensorView;

constexpr const char* kConfigFile = "adapter_config.json";
constexpr const char* kWeightsFile = "adapter_model.safetensors";

// [E, R, I] -> [E·R, I]: row e·R + k. [E, O, R] -> [O, R·E]: column k·E + e.
at::Tensor to_file(const Target& target, Part part, const at::Tensor& tensor) {
  const at::Tensor plain = tensor.detach().to(at::kCPU, at::kFloat);
  if (target.experts == 0) return plain.contiguous();
  if (part == Part::kA) return plain.reshape({-1, target.in}).contiguous();
  return plain.permute({1, 2, 0}).reshape({target.out, target.rank * target.experts}).contiguous();
}

at::Tensor from_file(const Target& target, Part part, const at::Tensor& tensor) {
  if (target.experts == 0) return tensor.clone();
  if (part == Part::kA) return tensor.reshape({target.experts, target.rank, target.in}).clone();
  return tensor.reshape({target.out, target.rank, target.experts}).permute({2, 0, 1}).contiguous();
}

std::string text_of(const std::vector<int64_t>& shape) {
  std::string text;
  for (int64_t size : shape) text += (text.empty() ? "[" : ", ") + std::to_string(size);
  return text + "]";
}

// Up to three names and how many more there are.
std::string some_of(const std::set<std::string>& names) {
  std::string text;
  size_t shown = 0;
  for (const std::string& name : names) {
    if (shown++ == 3) break;
    text += (text.empty() ? "'" : ", '") + name + "'";
  }
  if (names.size() > 3) text += " and " + std::to_string(names.size() - 3) + " more";
  return text;
}

// PEFT writes the base's own embedding and head beside a LoRA on them.
std::string base_copy_key(const Target& target) { return "base_model.model." + target.slot + ".base_layer.weight"; }

bool may_have_base_copy(const Target& target) {
  return !target.full && (target.is_embedding() || target.group == models::Group::kHead);
}

// Neither a tensor of the plan without numbers nor numbers without a place.
void check_names(const PeftConfig& config, const std::map<std::string, TensorView>& tensors, const fs::path& file) {
  std::set<std::string> missing, extra;
  for (const auto& [name, view] : tensors) extra.insert(name);
  for (const Target& target : config.plan.targets) {
    std::vector<std::string> keys;
    if (config.single_experts && target.experts > 0) {
      keys = single_expert_keys(target, tensors);
    } else {
      for (const TargetTensor& tensor : target.tensors()) keys.push_back(tensor.key);
    }
    for (const std::string& key : keys) {
      if (!extra.erase(key)) missing.insert(key);
    }
    if (may_have_base_copy(target)) extra.erase(base_copy_key(target));
    // A router's whole copy comes with the correction bias, which is no parameter and does not train.
    if (target.full && target.group == models::Group::kRouter) {
      extra.erase("base_model.model." + target.slot + ".e_score_correction_bias");
    }
  }
  std::string message;
  if (!missing.empty()) {
    message = "adapter_config.json targets " + std::to_string(missing.size()) +
              " tensors that the file lacks: " + some_of(missing);
  }
  if (!extra.empty()) {
    message += (message.empty() ? "the file holds " : "; and it holds ") + std::to_string(extra.size()) +
               " tensors that find no place in this model by adapter_config.json's targets: " + some_of(extra);
  }
  if (!message.empty()) base::fail_input(message + "; the adapter is refused whole", {file.string(), 0, ""});
}

}  // namespace

at::Tensor load_finite(const TensorView& view, const fs::path& file) {
  const at::Tensor tensor = models::map_tensor(view, at::kFloat);
  if (!at::isfinite(tensor).all().item<bool>()) {
    throw base::Error(base::Code::kDataLoss,
                      "the tensor holds numbers that are not finite; the adapter is damaged or "
                      "its training diverged",
                      {file.string(), 0, view.name});
  }
  return tensor;
}

void check_shape(const TensorView& view, const std::vector<int64_t>& shape, const fs::path& file) {
  if (view.shape == shape) return;
  base::fail_input("expected shape " + text_of(shape) + ", found " + text_of(view.shape),
                   {file.string(), 0, view.name});
}

namespace {

LoraFactors read_factors(const Target& target, const std::map<std::string, TensorView>& tensors, bool maybe_swapped,
                         const fs::path& file) {
  LoraFactors pair;
  pair.scale = target.scale;
  if (target.experts > 0) {
    // With in and out swapped, ΔW_e is the transpose: A and B change places.
    const TensorView &a = tensors.at(target.key_a), &b = tensors.at(target.key_b);
    const std::vector<int64_t> swapped_a{target.experts * target.rank, target.out};
    const std::vector<int64_t> swapped_b{target.in, target.rank * target.experts};
    const bool could_be = a.shape == swapped_a && b.shape == swapped_b;
    if (could_be && (maybe_swapped || target.in != target.out)) {
      Target other = target;
      std::swap(other.in, other.out);
      pair.a = from_file(other, Part::kB, load_finite(b, file)).transpose(1, 2).contiguous();
      pair.b = from_file(other, Part::kA, load_finite(a, file)).transpose(1, 2).contiguous();
      return pair;
    }
  }
  for (const TargetTensor& tensor : target.tensors()) {
    const TensorView& view = tensors.at(tensor.key);
    check_shape(view, tensor.shape, file);
    part_of(pair, tensor.part) = from_file(target, tensor.part, load_finite(view, file));
  }
  return pair;
}

// The experts with anything but zeros, where others have nothing else; empty if all have. A run that trains single
// experts writes such an adapter, and zeros in A and B have no gradient: going on from it trains the same experts.
std::vector<int64_t> experts_in_use(const LoraFactors& pair) {
  std::vector<int64_t> used;
  for (int64_t e = 0; e < pair.a.size(0); ++e) {
    if (pair.a[e].any().item<bool>() || pair.b[e].any().item<bool>()) used.push_back(e);
  }
  if (static_cast<int64_t>(used.size()) == pair.a.size(0)) used.clear();
  return used;
}

// Under the names of transformers 5: Mixtral's router was block_sparse_moe.gate.
std::map<std::string, TensorView> read_tensors(const fs::path& file, const std::vector<PlanPlace>& model_places) {
  const std::string old = ".block_sparse_moe.gate.", now = ".mlp.gate.";
  bool renamed = false;
  for (const PlanPlace& place : model_places) renamed |= place.name.ends_with(".mlp.gate");
  std::map<std::string, TensorView> tensors;
  for (TensorView& view : models::read_safetensors(file)) {
    std::string name = view.name;
    const size_t at = name.find(old);
    if (renamed && at != std::string::npos) name.replace(at, old.size(), now);
    tensors[name] = std::move(view);
  }
  return tensors;
}

}  // namespace

void write_adapter_files(const Adapter& adapter, const std::vector<PlanPlace>& model_places,
                         const std::string& base_model, const fs::path& folder) {
  const Adapter plain = without_start(adapter);
  std::map<std::string, at::Tensor> tensors;
  for (size_t i = 0; i < plain.factors.size(); ++i) {
    const Target& target = plain.plan.targets[i];
    for (const TargetTensor& tensor : target.tensors()) {
      tensors[tensor.key] = to_file(target, tensor.part, part_of(plain.factors[i], tensor.part));
    }
  }
  std::vector<models::TensorToWrite> list;
  for (const auto& [name, tensor] : tensors) list.push_back(models::tensor_to_write(name, tensor));
  models::write_safetensors(folder / kWeightsFile, list);
  base::write_file_durably(folder / kConfigFile, peft_config_text(plain.plan, model_places, base_model));
}

void write_adapter(const Adapter& adapter, const std::vector<PlanPlace>& model_places, const std::string& base_model,
                   const fs::path& folder) {
  base::DurableFolder durable(folder);
  write_adapter_files(adapter, model_places, base_model, durable.path());
  durable.commit();
}

Adapter read_adapter(const fs::path& folder, const std::vector<PlanPlace>& model_places) {
  for (const char* name : {kConfigFile, kWeightsFile}) {
    if (!fs::exists(folder / name)) {
      throw base::Error(
          base::Code::kNotFound,
          "expected an adapter folder with adapter_config.json and adapter_model.safetensors; there is no " +
              std::string(name),
          {folder.string(), 0, ""});
    }
  }
  const fs::path file = folder / kWeightsFile;
  const std::map<std::string, TensorView> tensors = read_tensors(file, model_places);
  const PeftConfig config = read_peft_config(folder, model_places, holds_single_experts(tensors));
  check_names(config, tensors, file);

  Adapter adapter;
  adapter.plan = config.plan;
  adapter.plan.trainable_parameters = 0;
  for (Target& target : adapter.plan.targets) {
    if (config.single_experts && target.experts > 0) {
      adapter.factors.push_back(join_single_experts(target, tensors, file));
    } else {
      adapter.factors.push_back(read_factors(target, tensors, config.maybe_swapped, file));
    }
    if (target.experts > 0) target.chosen_experts = experts_in_use(adapter.factors.back());
    adapter.plan.trainable_parameters += target.trained_numbers();
    const auto copy = tensors.find(base_copy_key(target));
    if (may_have_base_copy(target) && copy != tensors.end()) {
      adapter.base_copies[target.slot] = load_finite(copy->second, file).clone();
    }
  }
  return adapter;
}

void apply_adapter(models::CausalModel& model, const fs::path& folder) {
  Adapter adapter = read_adapter(folder, places(model));
  for (size_t i = 0; i < adapter.factors.size(); ++i) {
    LoraFactors& pair = adapter.factors[i];
    for (at::Tensor* tensor : {&pair.a, &pair.b, &pair.bias_O}) {
      if (tensor->defined()) *tensor = tensor->to(model.dtype());
    }
    // A router works in float32.
    const bool router = adapter.plan.targets[i].group == models::Group::kRouter;
    if (pair.full.defined() && !router) pair.full = pair.full.to(model.dtype());
  }
  attach(model, adapter);
}

std::string adapter_digest(const fs::path& folder) {
  std::string lines;
  for (const char* name : {kConfigFile, kWeightsFile}) {
    lines += base::digest_file(folder / name) + "  " + name + "\n";
  }
  return base::digest_bytes(lines);
}

}  // namespace masbak::adapters

#include "adapters/file.h"

#include <ATen/ATen.h>

#include <map>
#include <set>

#include "adapters/peft_config.h"
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

// [E, R, I] -> [E·R, I]: row e·R + k.
at::Tensor a_to_file(const Target& target, const at::Tensor& a) {
  return a.detach().to(at::kCPU, at::kFloat).reshape({-1, target.in}).contiguous();
}

// [E, O, R] -> [O, R·E]: column k·E + e.
at::Tensor b_to_file(const Target& target, const at::Tensor& b) {
  const at::Tensor plain = b.detach().to(at::kCPU, at::kFloat);
  if (target.experts == 0) return plain.contiguous();
  return plain.permute({1, 2, 0}).reshape({target.out, target.rank * target.experts}).contiguous();
}

at::Tensor a_from_file(const Target& target, const at::Tensor& a) {
  if (target.experts == 0) return a.clone();
  return a.reshape({target.experts, target.rank, target.in}).clone();
}

at::Tensor b_from_file(const Target& target, const at::Tensor& b) {
  if (target.experts == 0) return b.clone();
  return b.reshape({target.out, target.rank, target.experts}).permute({2, 0, 1}).contiguous();
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

// Neither a tensor of the plan without numbers nor numbers without a place.
void check_names(const Plan& plan, const std::map<std::string, TensorView>& tensors, const fs::path& file) {
  std::set<std::string> missing, extra;
  for (const auto& [name, view] : tensors) extra.insert(name);
  for (const Target& target : plan.targets) {
    for (const std::string& key : {target.key_a, target.key_b}) {
      if (!extra.erase(key)) missing.insert(key);
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

at::Tensor load(const TensorView& view, const fs::path& file) {
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

LoraFactors read_factors(const Target& target, const TensorView& a, const TensorView& b, bool maybe_swapped,
                         const fs::path& file) {
  // With in and out swapped, ΔW_e is the transpose: A and B change places.
  const std::vector<int64_t> swapped_a{target.experts * target.rank, target.out};
  const std::vector<int64_t> swapped_b{target.in, target.rank * target.experts};
  const bool could_be = target.experts > 0 && a.shape == swapped_a && b.shape == swapped_b;
  if (could_be && (maybe_swapped || target.in != target.out)) {
    Target other = target;
    std::swap(other.in, other.out);
    return {b_from_file(other, load(b, file)).transpose(1, 2).contiguous(),
            a_from_file(other, load(a, file)).transpose(1, 2).contiguous(), target.scale};
  }
  check_shape(a, target.shape_a(), file);
  check_shape(b, target.shape_b(), file);
  return {a_from_file(target, load(a, file)), b_from_file(target, load(b, file)), target.scale};
}

}  // namespace

void write_adapter_files(const Adapter& adapter, const std::vector<PlanPlace>& model_places,
                         const std::string& base_model, const fs::path& folder) {
  std::map<std::string, at::Tensor> tensors;
  for (size_t i = 0; i < adapter.factors.size(); ++i) {
    const Target& target = adapter.plan.targets[i];
    tensors[target.key_a] = a_to_file(target, adapter.factors[i].a);
    tensors[target.key_b] = b_to_file(target, adapter.factors[i].b);
  }
  std::vector<models::TensorToWrite> list;
  for (const auto& [name, tensor] : tensors) list.push_back(models::tensor_to_write(name, tensor));
  models::write_safetensors(folder / kWeightsFile, list);
  base::write_file_durably(folder / kConfigFile, peft_config_text(adapter.plan, model_places, base_model));
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
  const PeftConfig config = read_peft_config(folder, model_places);
  const fs::path file = folder / kWeightsFile;
  std::map<std::string, TensorView> tensors;
  for (TensorView& view : models::read_safetensors(file)) tensors[view.name] = std::move(view);
  check_names(config.plan, tensors, file);

  Adapter adapter;
  adapter.plan = config.plan;
  for (const Target& target : adapter.plan.targets) {
    adapter.factors.push_back(
        read_factors(target, tensors.at(target.key_a), tensors.at(target.key_b), config.maybe_swapped, file));
  }
  return adapter;
}

void apply_adapter(models::CausalModel& model, const fs::path& folder) {
  Adapter adapter = read_adapter(folder, places(model));
  for (LoraFactors& pair : adapter.factors) {
    pair.a = pair.a.to(model.dtype());
    pair.b = pair.b.to(model.dtype());
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

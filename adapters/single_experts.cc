#include "adapters/single_experts.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>

namespace masbak::adapters {
namespace {

using models::TensorView;

// Whether `name` has "experts." and a number in it.
bool names_single_expert(const std::string& name) {
  const std::string list = ".experts.";
  const size_t at = name.find(list);
  if (at == std::string::npos) return false;
  const size_t digit = at + list.size();
  return digit < name.size() && name[digit] >= '0' && name[digit] <= '9';
}

// "base_model.model.….experts.3.gate_proj" for each linear that is part of the target, in the order of its rows.
std::vector<std::string> linears(const Target& target, int64_t expert, bool mixtral) {
  const size_t dot = target.slot.rfind('.');
  const bool down = target.slot.substr(dot + 1) == "down_proj";
  std::string module = target.slot.substr(0, dot + 1);
  const size_t mlp = module.find(".mlp.");
  if (mixtral && mlp != std::string::npos) module.replace(mlp, 5, ".block_sparse_moe.");
  std::vector<std::string> parts{"gate_proj", "up_proj"};
  if (mixtral) parts = {"w1", "w3"};
  if (down) parts = {mixtral ? "w2" : "down_proj"};
  for (std::string& part : parts) part = "base_model.model." + module + std::to_string(expert) + "." + part;
  return parts;
}

bool in_mixtrals_names(const std::map<std::string, TensorView>& tensors) {
  for (const auto& [name, view] : tensors) {
    if (name.find(".block_sparse_moe.experts.") != std::string::npos) return true;
  }
  return false;
}

}  // namespace

bool holds_single_experts(const std::map<std::string, TensorView>& tensors) {
  for (const auto& [name, view] : tensors) {
    if (names_single_expert(name)) return true;
  }
  return false;
}

std::vector<std::string> single_expert_keys(const Target& target, const std::map<std::string, TensorView>& tensors) {
  const bool mixtral = in_mixtrals_names(tensors);
  std::vector<std::string> keys;
  for (int64_t e = 0; e < target.experts; ++e) {
    for (const std::string& linear : linears(target, e, mixtral)) {
      keys.push_back(linear + ".lora_A.weight");
      keys.push_back(linear + ".lora_B.weight");
    }
  }
  return keys;
}

LoraFactors join_single_experts(const Target& target, const std::map<std::string, TensorView>& tensors,
                                const std::filesystem::path& file) {
  const bool mixtral = in_mixtrals_names(tensors);
  LoraFactors pair;
  pair.scale = target.scale;
  pair.a = at::zeros({target.experts, target.rank, target.in}, at::kFloat);
  pair.b = at::zeros({target.experts, target.out, target.rank}, at::kFloat);
  for (int64_t e = 0; e < target.experts; ++e) {
    const std::vector<std::string> names = linears(target, e, mixtral);
    const auto parts = static_cast<int64_t>(names.size());
    const int64_t rank = target.rank / parts, out = target.out / parts;
    for (int64_t i = 0; i < parts; ++i) {
      const TensorView& a = tensors.at(names[i] + ".lora_A.weight");
      const TensorView& b = tensors.at(names[i] + ".lora_B.weight");
      check_shape(a, {rank, target.in}, file);
      check_shape(b, {out, rank}, file);
      pair.a[e].narrow(0, i * rank, rank).copy_(load_finite(a, file));
      pair.b[e].narrow(0, i * out, out).narrow(1, i * rank, rank).copy_(load_finite(b, file));
    }
  }
  return pair;
}

}  // namespace masbak::adapters

// Adapters from before transformers 5, with a LoRA on every linear of every expert
// ("mlp.experts.3.gate_proj.lora_A.weight"), as LoRA on the fused parameters of today.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "adapters/adapter.h"
#include "models/checkpoint/safetensors.h"

namespace masbak::adapters {

bool holds_single_experts(const std::map<std::string, models::TensorView>& tensors);

// The keys that such a file must hold for a fused target.
std::vector<std::string> single_expert_keys(const Target& target,
                                            const std::map<std::string, models::TensorView>& tensors);

// Gate and up of an expert become one LoRA of twice the rank, A one above the other and B block-diagonal, as PEFT
// joins them. INVALID_ARGUMENT for a wrong shape; every key must be there.
LoraFactors join_single_experts(const Target& target, const std::map<std::string, models::TensorView>& tensors,
                                const std::filesystem::path& file);

// What reading an adapter's tensors shares: INVALID_ARGUMENT for another shape, DATA_LOSS for numbers that are not
// finite. float32, perhaps still mapped.
void check_shape(const models::TensorView& view, const std::vector<int64_t>& shape, const std::filesystem::path& file);
at::Tensor load_finite(const models::TensorView& view, const std::filesystem::path& file);

}  // namespace masbak::adapters

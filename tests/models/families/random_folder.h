// A small model folder of any family, with random weights: config.json, and model.safetensors by the family's table.
#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/durable_file.h"
#include "models/checkpoint/tensor.h"
#include "models/families/causal_model.h"

namespace masbak::models::testing {

// config.json by family: three layers, the attention and the experts of the real ones.
inline base::Json small_config(const std::string& family) {
  base::Json config{{"model_type", family},          {"vocab_size", 53},       {"hidden_size", 32},
                    {"intermediate_size", 20},       {"num_hidden_layers", 3}, {"num_attention_heads", 4},
                    {"max_position_embeddings", 96}, {"rms_norm_eps", 1e-5},   {"num_experts_per_tok", 2}};
  const std::map<std::string, base::Json> own{
      {"llama", {{"num_key_value_heads", 2}}},
      {"granite", {{"num_key_value_heads", 2}, {"attention_multiplier", 0.3}, {"residual_multiplier", 0.6}}},
      {"granitemoe", {{"num_key_value_heads", 2}, {"num_local_experts", 6}, {"embedding_multiplier", 2.5}}},
      {"mixtral", {{"num_key_value_heads", 2}, {"num_local_experts", 5}, {"sliding_window", 7}}},
      {"qwen3_moe",
       {{"num_key_value_heads", 2}, {"num_experts", 7}, {"moe_intermediate_size", 12}, {"norm_topk_prob", true}}},
      {"olmoe", {{"num_key_value_heads", 4}, {"num_experts", 8}}},
      {"deepseek_v2",
       {{"kv_lora_rank", 14}, {"q_lora_rank", nullptr}, {"n_shared_experts", 2}, {"first_k_dense_replace", 1}}},
      {"deepseek_v3",
       {{"kv_lora_rank", 14},
        {"q_lora_rank", 18},
        {"n_shared_experts", 1},
        {"first_k_dense_replace", 1},
        {"n_group", 4},
        {"topk_group", 2}}},
      {"glm4_moe_lite", {{"kv_lora_rank", 14}, {"q_lora_rank", 18}, {"n_shared_experts", 1}}}};
  config.update(own.at(family));
  if (family == "llama" || family == "granite") config.erase("num_experts_per_tok");
  if (config.contains("kv_lora_rank")) {
    config.update({{"num_key_value_heads", 4},
                   {"qk_rope_head_dim", 6},
                   {"qk_nope_head_dim", 10},
                   {"v_head_dim", 9},
                   {"n_routed_experts", 8},
                   {"moe_intermediate_size", 12}});
  }
  return config;
}

inline void write_random_folder(const base::Json& config, const std::filesystem::path& folder, uint64_t seed = 0) {
  at::manual_seed(seed);
  std::filesystem::create_directories(folder);
  base::write_file_durably(folder / "config.json", config.dump(2));
  const base::Fields fields = base::Fields::read_json(folder / "config.json");
  std::vector<at::Tensor> tensors;
  std::vector<TensorToWrite> list;
  for (const WeightSpec& spec : find_family(fields).weights(fields)) {
    const bool norm = spec.name.find("norm") != std::string::npos;
    tensors.push_back(norm ? 1 + 0.2 * at::randn(spec.shape)
                           : at::randn(spec.shape) / std::sqrt(static_cast<double>(spec.shape.back())));
    list.push_back(tensor_to_write(spec.name, tensors.back()));
  }
  write_safetensors(folder / "model.safetensors", list);
}

}  // namespace masbak::models::testing

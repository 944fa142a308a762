#include "models/checkpoint/inspect.h"

#include <map>
#include <tuple>

#include "models/checkpoint/folder.h"
#include "models/checkpoint/safetensors.h"
#include "models/families/causal_model.h"

namespace masbak::models {
namespace {

// PyTorch's word for a type of a file.
std::string torch_name(Dtype dtype) {
  switch (dtype) {
    case Dtype::kF64: return "float64";
    case Dtype::kF32: return "float32";
    case Dtype::kF16: return "float16";
    case Dtype::kBF16: return "bfloat16";
    case Dtype::kF8E4M3: return "float8_e4m3fn";
    case Dtype::kI64: return "int64";
    case Dtype::kI32: return "int32";
    case Dtype::kI16: return "int16";
    case Dtype::kI8: return "int8";
    case Dtype::kU8: return "uint8";
    case Dtype::kBool: return "bool";
  }
  throw base::Error(base::Code::kInternal, "a tensor has a dtype outside the table");
}

// Checks the tensor of one line of the family's table. Experts that are stored one by one in the table may
// lie fused in the file: gate above up, for all experts.
void check_weight(const Checkpoint& checkpoint, const WeightSpec& spec, int64_t experts) {
  const size_t at = spec.name.find(".experts.");
  if (at != std::string::npos && !checkpoint.has(spec.name)) {
    const bool down = spec.name.find(".down_proj.", at) != std::string::npos;
    const std::string fused = spec.name.substr(0, at) + ".experts." + (down ? "down_proj" : "gate_up_proj");
    if (checkpoint.has(fused)) {
      checkpoint.at(fused, {experts, (down ? 1 : 2) * spec.shape[0], spec.shape[1]});
      return;
    }
  }
  checkpoint.at(spec.name, spec.shape);
}

// Numbers that plain multi-head attention would cache for one token in all layers: a key and a value of
// every head.
int64_t multi_head_numbers(const base::Fields& config) {
  const auto heads = config.get<int64_t>("num_attention_heads");
  const auto layers = config.get<int64_t>("num_hidden_layers");
  int64_t key_and_value = 0;
  if (config.has("kv_lora_rank")) {  // MLA; the fallbacks are those of transformers' DeepseekV3Config
    key_and_value = config.get<int64_t>("qk_nope_head_dim", 128) + config.get<int64_t>("qk_rope_head_dim", 64) +
                    config.get<int64_t>("v_head_dim", 128);
  } else {
    key_and_value = 2 * config.get<int64_t>("head_dim", config.get<int64_t>("hidden_size") / heads);
  }
  return layers * heads * key_and_value;
}

}  // namespace

Inspection inspect_model(const std::filesystem::path& folder) {
  const base::Fields config = read_model_config(folder);
  const Family& family = find_family(config);
  const ModelInfo info = family.describe(config);
  const Checkpoint checkpoint(folder);
  for (const WeightSpec& spec : family.weights(config)) check_weight(checkpoint, spec, info.experts);
  Inspection found{info.family,
                   info.layers,
                   info.hidden,
                   info.vocabulary,
                   info.max_positions,
                   info.experts,
                   info.experts_per_token,
                   info.parameters,
                   info.active_parameters};
  std::map<Dtype, int64_t> numbers;
  for (const auto& [name, view] : checkpoint.tensors()) {
    numbers[view.dtype] += view.numel();
    found.weights_bytes += view.bytes.size();
  }
  Dtype stored = Dtype::kF32;
  int64_t most = -1;
  for (const auto& [dtype, count] : numbers) {
    if (count > most) std::tie(stored, most) = std::pair(dtype, count);
  }
  found.dtype = torch_name(stored);
  // load_model computes in bfloat16 what is stored so, everything else in float32.
  found.kv_cache_bytes_per_token = info.kv_cache_numbers_per_token * (stored == Dtype::kBF16 ? 2 : 4);
  found.kv_cache_ratio =
      static_cast<double>(info.kv_cache_numbers_per_token) / static_cast<double>(multi_head_numbers(config));
  found.digest = model_digest(folder);
  return found;
}

}  // namespace masbak::models

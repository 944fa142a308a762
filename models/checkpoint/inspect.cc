#include "models/checkpoint/inspect.h"

#include <map>
#include <tuple>

#include "models/checkpoint/folder.h"
#include "models/checkpoint/quantised_tensor.h"
#include "models/checkpoint/safetensors.h"
#include "models/families/causal_model.h"
#include "models/families/config.h"
#include "models/families/weights.h"

namespace masbak::models {
namespace {

// SHA-256 reads some 1 to 2 GB a second.
constexpr uint64_t kLargestDigestBytes = uint64_t{64} << 30;

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

// What is in the files and no part of the model, by the beginnings of names that the family leaves out.
std::vector<std::string> notes(const Checkpoint& checkpoint, const ModelInfo& info) {
  std::map<std::string, std::pair<int64_t, int64_t>> found;  // tensors and their numbers
  for (const auto& [name, view] : checkpoint.tensors()) {
    for (const std::string& begin : info.left_out) {
      if (!name.starts_with(begin)) continue;
      ++found[begin].first;
      found[begin].second += view.numel();
    }
  }
  std::vector<std::string> lines;
  for (const auto& [begin, counts] : found) {
    const std::string what =
        begin == "lm_head." ? "the model's embeddings are tied" : "a layer of multi-token prediction";
    lines.push_back(begin + "*: " + std::to_string(counts.first) + " tensors with " + std::to_string(counts.second) +
                    " numbers are left out, as transformers does (" + what + ")");
  }
  return lines;
}

}  // namespace

Inspection inspect_model(const std::filesystem::path& folder, bool with_digest) {
  const base::Fields config = read_model_config(folder);
  const Family& family = find_family(config);
  const ModelInfo info = family.describe(config);
  const Checkpoint checkpoint(folder);
  const WeightFiles files(checkpoint);
  for (const WeightSpec& spec : family.weights(config)) {
    for (const StoredTensor& stored : stored_tensors(spec, checkpoint)) {
      check_stored(files, stored.name, stored.shape);
    }
  }
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
  found.dtype = stored == Dtype::kU8 ? "nf4" : torch_name(stored);  // the only scheme with packed codes
  const int64_t number_bytes = compute_dtype(config) == "bfloat16" ? 2 : 4;
  found.kv_cache_bytes_per_token = info.kv_cache_numbers_per_token * number_bytes;
  found.kv_cache_ratio =
      static_cast<double>(info.kv_cache_numbers_per_token) / static_cast<double>(info.multi_head_numbers_per_token);
  found.multi_head_cache_bytes_per_token = info.multi_head_numbers_per_token * number_bytes;
  found.notes = notes(checkpoint, info);
  if (with_digest || undigested_bytes(folder) <= kLargestDigestBytes) {
    found.digest = model_digest(folder);
  } else {
    found.notes.push_back("the digest of a folder above 64 GiB takes long and is computed on request: --digest");
  }
  return found;
}

}  // namespace masbak::models

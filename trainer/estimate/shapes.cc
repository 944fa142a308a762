#include "trainer/estimate/shapes.h"

#include <algorithm>
#include <set>

#include "models/checkpoint/folder.h"
#include "models/checkpoint/safetensors.h"
#include "models/families/weights.h"

namespace masbak::trainer {
namespace {

using adapters::PlanPlace;
using models::Group;

int64_t numbers(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

Group group_of(const std::string& name) {
  const auto has = [&](const char* part) { return name.find(part) != std::string::npos; };
  if (has(".self_attn.")) return Group::kAttention;
  if (has(".shared_experts.")) return Group::kSharedExperts;
  if (has(".experts.")) return Group::kExperts;
  if (name.ends_with(".gate") || name.ends_with(".router")) return Group::kRouter;
  return Group::kDenseMlp;
}

void add_place(const models::WeightSpec& spec, std::vector<PlanPlace>* places) {
  std::string name = spec.name;
  if (name.ends_with(".weight")) name.resize(name.size() - 7);
  if (!name.starts_with("model.layers.") || spec.shape.size() < 2) return;
  const bool experts = spec.shape.size() == 3;
  const size_t out = experts ? 1 : 0;
  places->push_back({name, group_of(name), spec.shape[out + 1], spec.shape[out], experts ? spec.shape[0] : 0});
}

bool same_type(const models::TensorView& view, const std::string& dtype) {
  return view.dtype == (dtype == "float32" ? models::Dtype::kF32 : models::Dtype::kBF16);
}

// Router and correction compute in float32 whatever the run's type.
bool always_float(const std::string& name) {
  return name.ends_with(".mlp.gate.weight") || name.ends_with("e_score_correction_bias");
}

}  // namespace

const PlanPlace* ModelShapes::find(int64_t layer, const std::string& end) const {
  const std::string prefix = "model.layers." + std::to_string(layer) + ".";
  for (const PlanPlace& place : places) {
    if (place.name.starts_with(prefix) && place.name.ends_with(end)) return &place;
  }
  return nullptr;
}

ModelShapes model_shapes(const std::filesystem::path& folder, const std::string& dtype) {
  const base::Fields config = models::read_model_config(folder);
  const models::Family& family = models::find_family(config);
  ModelShapes shapes;
  shapes.info = family.describe(config);
  shapes.heads = config.get<int64_t>("num_attention_heads", 1);
  const std::vector<models::WeightSpec> table = family.weights(config);
  for (const models::WeightSpec& spec : table) add_place(spec, &shapes.places);
  shapes.places.push_back({"lm_head", Group::kHead, shapes.info.hidden, shapes.info.vocabulary, 0});

  const int64_t size = dtype == "float32" ? 4 : 2;
  const models::Checkpoint checkpoint(folder);
  std::set<std::string> files_in_use;
  std::map<std::string, int64_t> sources;
  for (const models::WeightSpec& spec : table) {
    const bool wide = always_float(spec.name);
    const int64_t bytes = numbers(spec.shape) * (wide ? 4 : size);
    const std::vector<models::StoredTensor> parts = models::stored_tensors(spec, checkpoint);
    const models::TensorView& first = checkpoint.at(parts.front().name);
    if (parts.size() == 1 && parts.front().expert < 0 && same_type(first, wide ? "float32" : dtype)) {
      shapes.mapped_bytes += bytes;
      if (first.file) files_in_use.insert(first.file->path().string());
      continue;
    }
    shapes.copied_bytes += bytes;
    for (const models::StoredTensor& part : parts) {
      const models::TensorView& view = checkpoint.at(part.name);
      sources[view.file ? view.file->path().string() : ""] += static_cast<int64_t>(view.bytes.size());
    }
  }
  for (const auto& [file, bytes] : sources) {
    shapes.source_bytes += bytes;
    if (files_in_use.count(file)) shapes.staying_source_bytes += bytes;
  }
  return shapes;
}

}  // namespace masbak::trainer

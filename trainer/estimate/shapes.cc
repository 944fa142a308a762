#include "trainer/estimate/shapes.h"

#include <algorithm>
#include <set>

#include "models/checkpoint/folder.h"
#include "models/checkpoint/safetensors.h"

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
  if (name.ends_with(".gate") || name.ends_with(".router.layer")) return Group::kRouter;
  return Group::kDenseMlp;
}

// "….experts.7.gate_proj" → "….experts.gate_up_proj" and the like; other names stay.
std::string fused_name(const std::string& name) {
  const size_t at = name.find(".experts.");
  if (at == std::string::npos) return name;
  const size_t number = at + 9, end = name.find('.', number);
  if (end == std::string::npos || !std::isdigit(static_cast<unsigned char>(name[number]))) return name;
  const std::string part = name.substr(end + 1);
  return name.substr(0, number) + (part == "down_proj" || part == "w2" ? "down_proj" : "gate_up_proj");
}

void add_place(const models::WeightSpec& spec, std::map<std::string, size_t>* known, std::vector<PlanPlace>* places) {
  std::string name = spec.name;
  if (name.ends_with(".weight")) name.resize(name.size() - 7);
  if (!name.starts_with("model.layers.") || spec.shape.size() < 2) return;
  const std::string fused = fused_name(name);
  const bool alone = fused != name;  // one expert's own tensor
  const bool gate_up = alone && fused.ends_with("gate_up_proj");
  const auto found = known->find(fused);
  if (found == known->end()) {
    (*known)[fused] = places->size();
    if (spec.shape.size() == 3) {
      places->push_back({fused, group_of(name), spec.shape[2], spec.shape[1], spec.shape[0]});
    } else {
      places->push_back({fused, alone ? Group::kExperts : group_of(name), spec.shape[1],
                         gate_up ? 2 * spec.shape[0] : spec.shape[0], alone ? 1 : 0});
    }
    return;
  }
  // Gate and up of one expert are one place; the next expert starts with its gate (or down) again.
  const bool second = name.ends_with("up_proj") || name.ends_with("w3");
  if (alone && !second) ++(*places)[found->second].experts;
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
  std::map<std::string, size_t> known;
  const std::vector<models::WeightSpec> table = family.weights(config);
  for (const models::WeightSpec& spec : table) add_place(spec, &known, &shapes.places);
  shapes.places.push_back({"lm_head", Group::kHead, shapes.info.hidden, shapes.info.vocabulary, 0});

  const int64_t size = dtype == "float32" ? 4 : 2;
  const models::Checkpoint checkpoint(folder);
  std::set<std::string> files_in_use;
  std::map<std::string, int64_t> sources;
  for (const models::WeightSpec& spec : table) {
    const bool wide = always_float(spec.name);
    const bool alone = fused_name(spec.name) != spec.name;
    const std::string type = wide ? "float32" : dtype;
    const bool stored_whole = checkpoint.has(spec.name);
    if (stored_whole && !alone && same_type(checkpoint.at(spec.name), type)) {
      shapes.mapped_bytes += numbers(spec.shape) * (wide ? 4 : size);
      const auto& file = checkpoint.at(spec.name).file;
      if (file) files_in_use.insert(file->path().string());
      continue;
    }
    shapes.copied_bytes += numbers(spec.shape) * (wide ? 4 : size);
    if (!stored_whole) continue;
    const models::TensorView& view = checkpoint.at(spec.name);
    sources[view.file ? view.file->path().string() : ""] += static_cast<int64_t>(view.bytes.size());
  }
  for (const auto& [file, bytes] : sources) {
    shapes.source_bytes += bytes;
    if (files_in_use.count(file)) shapes.staying_source_bytes += bytes;
  }
  return shapes;
}

}  // namespace masbak::trainer

#include "trainer/estimate/shapes.h"

#include <ATen/core/Tensor.h>

#include <algorithm>

#include "models/checkpoint/folder.h"
#include "models/checkpoint/quantised_tensor.h"
#include "models/checkpoint/safetensors.h"
#include "models/families/weights.h"
#include "trainer/loop/start.h"

namespace masbak::trainer {
namespace {

int64_t numbers(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

bool same_type(const models::TensorView& view, const std::string& dtype) {
  return view.dtype == (dtype == "float32" ? models::Dtype::kF32 : models::Dtype::kBF16);
}

bool among(const std::vector<std::string>& sorted, const std::string& name) {
  return std::binary_search(sorted.begin(), sorted.end(), name);
}

std::string slot_of(std::string name) {
  if (name.ends_with(".weight")) name.resize(name.size() - 7);
  return name;
}

bool quantised(const models::WeightFiles& files, const std::string& name) {
  for (const std::string& beside : models::companions(files, name)) {
    if (!beside.ends_with(".weight_format")) return true;
  }
  return false;
}

// Scales that are held in float32 beside the mapped codes: those of NF4 by the codes of their first level.
int64_t scale_bytes(const models::WeightFiles& files, const std::string& name) {
  if (files.has(name + ".absmax")) return 4 * files.at(name + ".absmax").numel();
  int64_t bytes = 0;
  for (const std::string& beside : models::companions(files, name)) {
    if (!beside.ends_with(".weight_format")) bytes += static_cast<int64_t>(files.at(beside).bytes.size());
  }
  return bytes;
}

}  // namespace

const adapters::PlanPlace* ModelShapes::find(int64_t layer, const std::string& end) const {
  const std::string prefix = "model.layers." + std::to_string(layer) + ".";
  for (const adapters::PlanPlace& place : places) {
    if (place.name.starts_with(prefix) && place.name.ends_with(end)) return &place;
  }
  return nullptr;
}

ModelShapes model_shapes(const RunConfig& run) {
  ModelShapes shapes;
  const auto model = describe_base_model(run);
  shapes.info = model->info();
  shapes.places = adapters::places(*model);
  // What is described is of bfloat16 but for these.
  for (const models::Slot& slot : model->slots()) {
    if (slot.linear && (*slot.linear)->weight().scalar_type() == at::kFloat) shapes.wide.push_back(slot.name);
  }
  std::sort(shapes.wide.begin(), shapes.wide.end());
  const base::Fields config = models::read_model_config(run.model);
  shapes.heads = config.get<int64_t>("num_attention_heads", 1);
  return shapes;
}

WeightMemory weight_memory(const RunConfig& run, const ModelShapes& shapes) {
  const base::Fields config = models::read_model_config(run.model);
  const std::vector<models::WeightSpec> table = models::find_family(config).weights(config);
  const int64_t size = run.training.dtype == "float32" ? 4 : 2;
  const models::Checkpoint checkpoint(run.model);
  const models::WeightFiles files(checkpoint);
  WeightMemory memory;
  for (const models::WeightSpec& spec : table) {
    const std::string slot = slot_of(spec.name);
    const bool wide = spec.name.ends_with("e_score_correction_bias") || among(shapes.wide, slot);
    const int64_t bytes = numbers(spec.shape) * (wide ? 4 : size);
    const std::vector<models::StoredTensor> parts = models::stored_tensors(spec, checkpoint);
    const bool small = std::all_of(parts.begin(), parts.end(),
                                   [&](const models::StoredTensor& part) { return quantised(files, part.name); });
    if (small && spec.shape.size() >= 2 && spec.name != "model.embed_tokens.weight") {
      for (const models::StoredTensor& part : parts) {
        memory.mapped += static_cast<int64_t>(files.at(part.name).bytes.size());
        memory.copied += scale_bytes(files, part.name);
      }
      continue;
    }
    const models::TensorView& first = checkpoint.at(parts.front().name);
    if (parts.size() == 1 && parts.front().expert < 0 && same_type(first, wide ? "float32" : run.training.dtype)) {
      memory.mapped += bytes;
      continue;
    }
    memory.copied += bytes;
    for (const models::StoredTensor& part : parts) {
      const auto source = static_cast<int64_t>(checkpoint.at(part.name).bytes.size());
      memory.largest_source = std::max(memory.largest_source, source);
    }
  }
  return memory;
}

}  // namespace masbak::trainer

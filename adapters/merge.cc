#include "adapters/merge.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "adapters/file.h"
#include "base/document.h"
#include "base/durable_file.h"
#include "base/error.h"
#include "models/checkpoint/folder.h"
#include "models/checkpoint/quantised_tensor.h"
#include "models/checkpoint/safetensors.h"
#include "models/checkpoint/tensor.h"
#include "models/families/weights.h"

namespace masbak::adapters {
namespace {

namespace fs = std::filesystem;
using models::Checkpoint;
using models::WeightFiles;

// What becomes of one tensor on disk, computed when it is written.
using Changes = std::map<std::string, std::function<at::Tensor(const at::Tensor& base)>>;

// What a tensor on disk sees of a fused target: all of it, or some rows of one expert.
LoraFactors part_of_target(const LoraFactors& pair, const models::StoredTensor& stored) {
  if (stored.expert < 0) return pair;
  return {pair.a[stored.expert], pair.b[stored.expert].narrow(0, stored.row, stored.shape[0]), pair.scale};
}

// What a folder of the base's layout has no room for.
void refuse_unmergeable(const Target& target, bool tied) {
  if (target.lora_bias) {
    throw base::Error(base::Code::kUnimplemented, "a bias that lora_bias added to '" + target.slot +
                                                      "' has no place in the base's files; serve the adapter instead");
  }
  if (tied && (target.is_embedding() || target.group == models::Group::kHead)) {
    throw base::Error(base::Code::kUnimplemented,
                      "the model's head and embedding are one tensor, and the adapter changes '" + target.slot +
                          "' alone; serve the adapter instead of merging it");
  }
}

Changes collect_changes(const Adapter& adapter, const Checkpoint& checkpoint, bool tied,
                        const std::vector<models::WeightSpec>& weights) {
  std::map<std::string, const models::WeightSpec*> specs;
  for (const models::WeightSpec& spec : weights) specs[spec.name] = &spec;
  Changes changes;
  for (size_t i = 0; i < adapter.factors.size(); ++i) {
    const Target& target = adapter.plan.targets[i];
    refuse_unmergeable(target, tied);
    const auto spec = specs.find(target.experts > 0 ? target.slot : target.slot + ".weight");
    if (spec == specs.end()) {
      throw base::Error(base::Code::kInternal, "the family's table has no weight for the slot '" + target.slot + "'");
    }
    for (const models::StoredTensor& stored : models::stored_tensors(*spec->second, checkpoint)) {
      const LoraFactors pair = part_of_target(adapter.factors[i], stored);
      changes[stored.name] = [pair, embedding = target.is_embedding()](const at::Tensor& base) {
        return embedding ? merged_embedding(base, pair) : merged_weight(base, pair);
      };
    }
  }
  for (const auto& [name, change] : changes) {
    if (checkpoint.has(name)) continue;
    throw base::Error(base::Code::kUnimplemented,
                      "the model's files hold no tensor '" + name + "'; this layout cannot be merged yet",
                      {checkpoint.folder().string(), 0, name});
  }
  return changes;
}

// A merged model is whole again: weights stored small are widened to `wide`.
at::Tensor merged(const WeightFiles& files, const std::string& name, const Changes& changes, at::ScalarType wide) {
  const auto small = models::open_quantised(files, name, models::stored_shape(files, name));
  const at::Tensor base = small ? small->widened(at::kFloat) : models::map_tensor(files.at(name));
  const at::ScalarType type = small ? wide : base.scalar_type();
  const auto found = changes.find(name);
  if (found == changes.end()) return base.to(type).contiguous();
  const at::Tensor changed = found->second(base);
  if (base.sizes() != changed.sizes()) {
    throw base::Error(base::Code::kInternal, "the adapter's change and the tensor '" + name + "' differ in shape");
  }
  return changed.to(type).contiguous();
}

// Names of tensors that only serve weights stored small.
std::set<std::string> all_companions(const Checkpoint& checkpoint, const WeightFiles& files) {
  std::set<std::string> names;
  for (const auto& [name, view] : checkpoint.tensors()) {
    for (const std::string& beside : models::companions(files, name)) names.insert(beside);
  }
  return names;
}

void write_weights(const WeightFiles& files, const fs::path& source, const Changes& changes,
                   const std::set<std::string>& companions, at::ScalarType wide, const fs::path& target) {
  std::map<std::string, std::string> metadata;
  std::vector<models::TensorToProduce> list;
  for (const models::TensorView& view : models::read_safetensors(source, &metadata)) {
    const std::string name = view.name;
    if (companions.count(name)) continue;
    const bool small = !models::companions(files, name).empty();
    if (!small && !changes.count(name)) {
      list.push_back({name, view.dtype, view.shape, [view](const models::ByteSink& sink) { sink(view.bytes); }});
      continue;
    }
    list.push_back({name, small ? models::file_dtype(wide) : view.dtype, models::stored_shape(files, name),
                    [&files, &changes, name, wide](const models::ByteSink& sink) {
                      const at::Tensor tensor = merged(files, name, changes, wide);
                      sink({static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()});
                    }});
  }
  if (metadata.empty()) metadata["format"] = "pt";
  models::stream_safetensors(target, list, metadata);
}

// The file as it is, but for what a model that is whole again no longer has.
void write_json(const fs::path& source, const std::set<std::string>& companions, const fs::path& target) {
  base::Json json = base::read_json(source);
  json.erase("quantization_config");
  if (json.contains("weight_map") && !companions.empty()) {
    base::Json map = base::Json::object();
    for (const auto& [name, file] : json["weight_map"].items()) {
      if (!companions.count(name)) map.get_ref<base::Json::object_t&>().push_back({name, file});
    }
    json["weight_map"] = map;
  }
  base::write_file_durably(target, json.dump(2) + "\n");
}

at::Tensor some_logits(models::CausalModel& model) {
  const at::NoGradGuard no_grad;
  std::vector<int32_t> ids;
  const int64_t count = std::min<int64_t>(16, model.info().max_positions);
  for (int64_t i = 0; i < count; ++i) ids.push_back(static_cast<int32_t>((1 + 7919 * i) % model.info().vocabulary));
  return model.logits(model.hidden(models::make_batch({ids}))).to(at::kDouble);
}

// The merged folder must say what the base with the adapter says, up to the rounding of its files.
void check_merged(const fs::path& model, const fs::path& adapter, const fs::path& merged) {
  at::Tensor wanted, found;
  bool narrow = false;
  {
    narrow = models::load_model(model)->dtype() != at::kFloat;
    const auto base = models::load_model(model, "float32");
    apply_adapter(*base, adapter);
    wanted = some_logits(*base);
  }
  found = some_logits(*models::load_model(merged, "float32"));
  const double error = ((found - wanted).square().mean().sqrt() / wanted.std()).item<double>();
  const double allowed = narrow ? 0.05 : 1e-3;
  if (error <= allowed) return;
  throw base::Error(base::Code::kDataLoss,
                    "the merged model's logits differ from those of base and adapter by " + std::to_string(error) +
                        " of their standard deviation (root mean square; at most " + std::to_string(allowed) +
                        " is expected of rounding); nothing was written. --no-check writes it nevertheless");
}

}  // namespace

void merge_adapter(const fs::path& model, const fs::path& adapter, const fs::path& out, bool check) {
  base::DurableFolder folder(out);
  const Checkpoint checkpoint(model);
  Adapter read;
  bool tied = false;
  at::ScalarType wide = at::kFloat;
  {
    const std::unique_ptr<models::CausalModel> loaded = models::load_model(model);
    read = read_adapter(adapter, places(*loaded));
    tied = loaded->info().tied_embeddings;
    wide = loaded->dtype();
    attach(*loaded, read);  // refuses what does not belong to this base
  }
  const base::Fields config = models::read_model_config(model);
  const Changes changes = collect_changes(read, checkpoint, tied, models::find_family(config).weights(config));
  std::set<fs::path> weights;
  for (const auto& [name, view] : checkpoint.tensors()) weights.insert(view.file->path().filename());
  const WeightFiles files(checkpoint);
  const std::set<std::string> companions = all_companions(checkpoint, files);
  for (const fs::path& file : weights) {
    write_weights(files, model / file, changes, companions, wide, folder.path() / file);
  }
  for (const auto& entry : fs::directory_iterator(model)) {
    const fs::path name = entry.path().filename();
    const bool other_weights = name.extension() == ".safetensors" || name.extension() == ".bin";
    if (!entry.is_regular_file() || other_weights || name.string().starts_with('.')) continue;
    if (!companions.empty() && (name == "config.json" || name.string().ends_with(".index.json"))) {
      write_json(entry.path(), companions, folder.path() / name);
      continue;
    }
    fs::copy_file(entry.path(), folder.path() / name);
    base::fsync_path(folder.path() / name);
  }
  if (check) check_merged(model, adapter, folder.path());
  folder.commit();
}

}  // namespace masbak::adapters

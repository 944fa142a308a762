#include "adapters/merge.h"

#include <ATen/ATen.h>

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

// The change of one tensor on disk, made when it is written.
using Deltas = std::map<std::string, std::function<at::Tensor()>>;

at::Tensor delta(const at::Tensor& b, const at::Tensor& a, double scale) { return at::mm(b, a).mul_(scale); }

// The change of a fused parameter, or of the part of it that one tensor on disk holds.
at::Tensor expert_delta(const LoraFactors& pair, const models::StoredTensor& stored) {
  if (stored.expert < 0) return at::bmm(pair.b, pair.a).mul_(pair.scale);
  return delta(pair.b[stored.expert].narrow(0, stored.row, stored.shape[0]), pair.a[stored.expert], pair.scale);
}

Deltas collect_deltas(const Adapter& adapter, const Checkpoint& checkpoint,
                      const std::vector<models::WeightSpec>& weights) {
  std::map<std::string, const models::WeightSpec*> specs;
  for (const models::WeightSpec& spec : weights) specs[spec.name] = &spec;
  Deltas deltas;
  for (size_t i = 0; i < adapter.factors.size(); ++i) {
    const Target& target = adapter.plan.targets[i];
    const LoraFactors& pair = adapter.factors[i];
    const auto spec = specs.find(target.experts > 0 ? target.slot : target.slot + ".weight");
    if (spec == specs.end()) {
      throw base::Error(base::Code::kInternal, "the family's table has no weight for the slot '" + target.slot + "'");
    }
    for (const models::StoredTensor& stored : models::stored_tensors(*spec->second, checkpoint)) {
      deltas[stored.name] = [pair, stored, fused = target.experts > 0] {
        return fused ? expert_delta(pair, stored) : delta(pair.b, pair.a, pair.scale);
      };
    }
  }
  for (const auto& [name, make] : deltas) {
    if (checkpoint.has(name)) continue;
    throw base::Error(base::Code::kUnimplemented,
                      "the model's files hold no tensor '" + name + "'; this layout cannot be merged yet",
                      {checkpoint.folder().string(), 0, name});
  }
  return deltas;
}

// A merged model is whole again: weights stored small are widened to `wide`.
at::Tensor merged(const WeightFiles& files, const std::string& name, const Deltas& deltas, at::ScalarType wide) {
  const auto small = models::open_quantised(files, name, models::stored_shape(files, name));
  const at::Tensor base = small ? small->widened(at::kFloat) : models::map_tensor(files.at(name));
  const at::ScalarType type = small ? wide : base.scalar_type();
  const auto found = deltas.find(name);
  if (found == deltas.end()) return base.to(type);
  const at::Tensor change = found->second();
  if (base.sizes() != change.sizes()) {
    throw base::Error(base::Code::kInternal, "the adapter's change and the tensor '" + name + "' differ in shape");
  }
  return (base.to(at::kFloat) + change).to(type).contiguous();
}

// Names of tensors that only serve weights stored small.
std::set<std::string> all_companions(const Checkpoint& checkpoint, const WeightFiles& files) {
  std::set<std::string> names;
  for (const auto& [name, view] : checkpoint.tensors()) {
    for (const std::string& beside : models::companions(files, name)) names.insert(beside);
  }
  return names;
}

void write_weights(const WeightFiles& files, const fs::path& source, const Deltas& deltas,
                   const std::set<std::string>& companions, at::ScalarType wide, const fs::path& target) {
  std::map<std::string, std::string> metadata;
  std::vector<models::TensorToProduce> list;
  for (const models::TensorView& view : models::read_safetensors(source, &metadata)) {
    const std::string name = view.name;
    if (companions.count(name)) continue;
    const bool small = !models::companions(files, name).empty();
    if (!small && !deltas.count(name)) {
      list.push_back({name, view.dtype, view.shape, [view](const models::ByteSink& sink) { sink(view.bytes); }});
      continue;
    }
    list.push_back({name, small ? models::file_dtype(wide) : view.dtype, models::stored_shape(files, name),
                    [&files, &deltas, name, wide](const models::ByteSink& sink) {
                      const at::Tensor tensor = merged(files, name, deltas, wide);
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

}  // namespace

void merge_adapter(const fs::path& model, const fs::path& adapter, const fs::path& out) {
  base::DurableFolder folder(out);
  const Checkpoint checkpoint(model);
  const std::unique_ptr<models::CausalModel> loaded = models::load_model(model);
  const base::Fields config = models::read_model_config(model);
  const Deltas deltas =
      collect_deltas(read_adapter(adapter, places(*loaded)), checkpoint, models::find_family(config).weights(config));
  std::set<fs::path> weights;
  for (const auto& [name, view] : checkpoint.tensors()) weights.insert(view.file->path().filename());
  const WeightFiles files(checkpoint);
  const std::set<std::string> companions = all_companions(checkpoint, files);
  for (const fs::path& file : weights) {
    write_weights(files, model / file, deltas, companions, loaded->dtype(), folder.path() / file);
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
  folder.commit();
}

}  // namespace masbak::adapters

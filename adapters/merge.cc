#include "adapters/merge.h"

#include <ATen/ATen.h>

#include <functional>
#include <map>
#include <set>

#include "adapters/file.h"
#include "base/durable_file.h"
#include "base/error.h"
#include "models/checkpoint/folder.h"
#include "models/checkpoint/safetensors.h"
#include "models/checkpoint/tensor.h"
#include "models/families/weights.h"

namespace masbak::adapters {
namespace {

namespace fs = std::filesystem;
using models::Checkpoint;

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

at::Tensor merged(const models::TensorView& view, const at::Tensor& change) {
  const at::Tensor base = models::map_tensor(view);
  if (base.sizes() != change.sizes()) {
    throw base::Error(base::Code::kInternal, "the adapter's change and the tensor '" + view.name + "' differ in shape");
  }
  return (base.to(at::kFloat) + change).to(base.scalar_type()).contiguous();
}

void write_weights(const fs::path& source, const Deltas& deltas, const fs::path& target) {
  std::map<std::string, std::string> metadata;
  const std::vector<models::TensorView> views = models::read_safetensors(source, &metadata);
  std::vector<at::Tensor> changed;  // keeps the bytes of the list alive
  std::vector<models::TensorToWrite> list;
  for (const models::TensorView& view : views) {
    const auto found = deltas.find(view.name);
    if (found == deltas.end()) {
      list.push_back({view.name, view.dtype, view.shape, view.bytes});
    } else {
      changed.push_back(merged(view, found->second()));
      list.push_back(models::tensor_to_write(view.name, changed.back()));
    }
  }
  if (metadata.empty()) metadata["format"] = "pt";
  models::write_safetensors(target, list, metadata);
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
  for (const fs::path& file : weights) write_weights(model / file, deltas, folder.path() / file);
  for (const auto& entry : fs::directory_iterator(model)) {
    const fs::path name = entry.path().filename();
    const bool other_weights = name.extension() == ".safetensors" || name.extension() == ".bin";
    if (!entry.is_regular_file() || other_weights || name.string().starts_with('.')) continue;
    fs::copy_file(entry.path(), folder.path() / name);
    base::fsync_path(folder.path() / name);
  }
  folder.commit();
}

}  // namespace masbak::adapters

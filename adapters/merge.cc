#include "adapters/merge.h"

#include <ATen/ATen.h>

#include <functional>
#include <map>
#include <set>

#include "adapters/file.h"
#include "base/durable_file.h"
#include "base/error.h"
#include "models/checkpoint/safetensors.h"
#include "models/checkpoint/tensor.h"

namespace masbak::adapters {
namespace {

namespace fs = std::filesystem;
using models::Checkpoint;

// The change of one tensor on disk, made when it is written.
using Deltas = std::map<std::string, std::function<at::Tensor()>>;

at::Tensor delta(const at::Tensor& b, const at::Tensor& a, double scale) { return at::mm(b, a).mul_(scale); }

// A fused parameter is on disk as it is, or as one tensor for each expert (and gate apart from up).
void add_expert_deltas(const Target& target, const LoraFactors& pair, const Checkpoint& checkpoint, Deltas* deltas) {
  const size_t dot = target.slot.rfind('.');
  const std::string module = target.slot.substr(0, dot), leaf = target.slot.substr(dot + 1);
  if (checkpoint.has(target.slot)) {
    (*deltas)[target.slot] = [pair] { return at::bmm(pair.b, pair.a).mul_(pair.scale); };
    return;
  }
  const bool gate_up = leaf == "gate_up_proj";
  const std::vector<std::string> parts =
      gate_up ? std::vector<std::string>{"gate_proj", "up_proj"} : std::vector<std::string>{leaf};
  const int64_t rows = target.out / static_cast<int64_t>(parts.size());
  for (int64_t e = 0; e < target.experts; ++e) {
    for (size_t i = 0; i < parts.size(); ++i) {
      const std::string name = module + "." + std::to_string(e) + "." + parts[i] + ".weight";
      const int64_t begin = static_cast<int64_t>(i) * rows;
      (*deltas)[name] = [pair, e, begin, rows] {
        return delta(pair.b[e].narrow(0, begin, rows), pair.a[e], pair.scale);
      };
    }
  }
}

Deltas collect_deltas(const Adapter& adapter, const Checkpoint& checkpoint) {
  Deltas deltas;
  for (size_t i = 0; i < adapter.factors.size(); ++i) {
    const Target& target = adapter.plan.targets[i];
    const LoraFactors& pair = adapter.factors[i];
    if (target.experts > 0) {
      add_expert_deltas(target, pair, checkpoint, &deltas);
    } else {
      deltas[target.slot + ".weight"] = [pair] { return delta(pair.b, pair.a, pair.scale); };
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
  const Deltas deltas = collect_deltas(read_adapter(adapter, places(*loaded)), checkpoint);
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

// The weights of a model folder: one file or several.
#include <charconv>
#include <set>

#include "models/checkpoint/safetensors.h"
#include "models/checkpoint/shard_index.h"

namespace masbak::models {

using base::Code;
using base::Error;

Checkpoint::Checkpoint(const std::filesystem::path& folder) : folder_(folder) {
  const std::filesystem::path whole = folder / "model.safetensors", index = folder / "model.safetensors.index.json";
  std::map<std::string, std::string> expected;  // tensor -> shard, if there is an index
  std::set<std::string> shards;
  if (std::filesystem::exists(whole)) {
    shards.insert("model.safetensors");
  } else if (std::filesystem::exists(index)) {
    expected = parse_shard_index(base::read_file(index), index.string());
    for (const auto& [name, shard] : expected) shards.insert(shard);
  } else {
    throw Error(Code::kNotFound,
                "a model folder must hold model.safetensors, or model.safetensors.index.json and its shards; "
                "neither is there",
                {folder.string()});
  }
  for (const std::string& shard : shards) {
    if (!std::filesystem::exists(folder / shard)) {
      throw Error(Code::kNotFound,
                  "the index names the shard " + shard + ", but the folder does not hold it; fetch the model again",
                  {(folder / shard).string()});
    }
    for (TensorView& view : read_safetensors(folder / shard)) {
      const std::string name = view.name;
      if (!tensors_.emplace(name, std::move(view)).second) {
        base::fail_input("two shards hold the tensor \"" + name + "\"; remove the stale one",
                         {(folder / shard).string(), 0, name});
      }
    }
  }
  for (const auto& [name, shard] : expected) {
    const auto found = tensors_.find(name);
    if (found == tensors_.end() || found->second.file->path() != folder / shard) {
      throw Error(Code::kNotFound, "the index says that " + shard + " holds this tensor, but it does not",
                  {index.string(), 0, name});
    }
  }
}

Checkpoint Checkpoint::first_layers(int64_t layers) const {
  const std::string prefix = "model.layers.";
  Checkpoint first = *this;
  std::erase_if(first.tensors_, [&](const auto& entry) {
    const std::string& name = entry.first;
    if (!name.starts_with(prefix)) return false;
    int64_t layer = 0;
    const char* digits = name.data() + prefix.size();
    const auto parsed = std::from_chars(digits, name.data() + name.size(), layer);
    return parsed.ptr != digits && layer >= layers;
  });
  return first;
}

bool Checkpoint::has(const std::string& name) const { return tensors_.count(name) != 0; }

const TensorView& Checkpoint::at(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found != tensors_.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [known, view] : tensors_) names.push_back(known);
  const auto nearest = base::nearest_name(name, names);
  throw Error(Code::kNotFound,
              "the model's weights lack this tensor" + (nearest ? "; the nearest name there is " + *nearest : ""),
              {folder_.string(), 0, name});
}

const TensorView& Checkpoint::at(const std::string& name, const std::vector<int64_t>& shape) const {
  const TensorView& view = at(name);
  if (view.shape != shape) {
    base::fail_input("the tensor's shape does not fit config.json: expected " + shape_text(shape) + ", found " +
                         shape_text(view.shape),
                     {view.file->path().string(), 0, name});
  }
  return view;
}

}  // namespace masbak::models

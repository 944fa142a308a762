// The safetensors format (an 8-byte little-endian header length, a JSON header, raw data): reading by
// memory map, single files and sharded folders, and writing. No LibTorch in here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/document.h"
#include "base/durable_file.h"

namespace masbak::models {

// Element types of the format. The names are the header's: "F32", "BF16", …
enum class Dtype { kF64, kF32, kF16, kBF16, kF8E4M3, kI64, kI32, kI16, kI8, kU8, kBool };

size_t dtype_bytes(Dtype dtype);
std::string_view dtype_name(Dtype dtype);  // "BF16"
Dtype parse_dtype(std::string_view name);  // INVALID_ARGUMENT for another name

// One tensor where it lies in a mapped file. `bytes` is valid as long as the file (or Checkpoint) is.
struct TensorView {
  std::string name;
  Dtype dtype = Dtype::kF32;
  std::vector<int64_t> shape;
  std::string_view bytes;
  std::shared_ptr<const base::MappedFile> file;  // keeps the map alive
  int64_t numel() const;
};

// Every tensor of one file, in the order of the data. Checks the header in full: length, UTF-8, dtypes,
// shapes that fit their offsets, no overlap, no gap, no byte left over. INVALID_ARGUMENT with file and tensor
// name, also for a truncated file: a damaged file is bad input.
std::vector<TensorView> read_safetensors(const std::filesystem::path& file,
                                         std::map<std::string, std::string>* metadata = nullptr);

// The weights of a Hugging Face model folder: model.safetensors, or model.safetensors.index.json and its
// shards. A missing shard, a tensor in no shard, or one that two shards hold is an error.
class Checkpoint {
 public:
  explicit Checkpoint(const std::filesystem::path& folder);

  bool has(const std::string& name) const;
  // NOT_FOUND if there is none, with the nearest name there is.
  const TensorView& at(const std::string& name) const;
  // The same, and INVALID_ARGUMENT unless the shape is `shape` ("expected [8, 4], found [4, 8]").
  const TensorView& at(const std::string& name, const std::vector<int64_t>& shape) const;
  const std::map<std::string, TensorView>& tensors() const { return tensors_; }
  const std::filesystem::path& folder() const { return folder_; }
  // The same without the tensors of the layers from `layers` on ("model.layers.N.…").
  Checkpoint first_layers(int64_t layers) const;

 private:
  std::filesystem::path folder_;
  std::map<std::string, TensorView> tensors_;
};

// A tensor to write. `bytes` need only live until write_safetensors returns.
struct TensorToWrite {
  std::string name;
  Dtype dtype;
  std::vector<int64_t> shape;
  std::string_view bytes;
};

// Writes a file durably, tensors aligned as Hugging Face does (header padded with spaces to 8 bytes).
void write_safetensors(const std::filesystem::path& file, const std::vector<TensorToWrite>& tensors,
                       const std::map<std::string, std::string>& metadata = {{"format", "pt"}});

// The same for tensors that are computed while they are written, so that a model larger than the memory
// can be converted. `produce` hands its bytes to the sink, in any number of pieces; it is called once, in
// the order of the file, which is not the order given here.
using ByteSink = std::function<void(std::string_view)>;
struct TensorToProduce {
  std::string name;
  Dtype dtype;
  std::vector<int64_t> shape;
  std::function<void(const ByteSink&)> produce;
};
void stream_safetensors(const std::filesystem::path& file, const std::vector<TensorToProduce>& tensors,
                        const std::map<std::string, std::string>& metadata = {{"format", "pt"}});

// "[2, 3]", for messages.
std::string shape_text(const std::vector<int64_t>& shape);

}  // namespace masbak::models

// The GGUF format, versions 2 and 3, little-endian: metadata, and tensors turned into float32.
// Format: docs/gguf.md of the ggml project. No LibTorch in here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/durable_file.h"

namespace masbak::models {

// A value of the metadata. Integers of every width become int64_t (a uint64 above its range is refused),
// both float types double; an array is a list of values of one type.
struct GgufValue {
  std::variant<bool, int64_t, double, std::string, std::vector<GgufValue>> value;
};

// The element types that can be read, by the numbers of the format.
enum class GgufType : uint32_t { kF32 = 0, kF16 = 1, kQ4_0 = 2, kQ4_1 = 3, kQ8_0 = 8, kBF16 = 30 };
std::string_view gguf_type_name(GgufType type);

struct GgufTensor {
  std::string name;
  GgufType type = GgufType::kF32;
  std::vector<int64_t> shape;  // outermost first, as in PyTorch; the file has it the other way round
  std::string_view bytes;      // in the mapped file
  int64_t numel() const;
};

// A file, mapped and checked in full at construction: every length, count, offset and shape lies in the
// file, so that no later call reads outside it. Throws NOT_FOUND; INVALID_ARGUMENT
// for a file that is not GGUF, truncated, or contradicts itself; UNIMPLEMENTED for a version or an element
// type that cannot be read. Thread-safe to read.
class GgufFile {
 public:
  explicit GgufFile(const std::filesystem::path& file);

  const std::filesystem::path& path() const { return map_->path(); }
  bool has(const std::string& key) const { return metadata_.count(key) != 0; }
  // T: bool, int64_t, double (an integer is accepted), std::string, std::vector<std::string>,
  // std::vector<int64_t>. INVALID_ARGUMENT with the key if it is missing or of another type.
  template <typename T>
  T get(const std::string& key) const;
  template <typename T>
  T get(const std::string& key, T fallback) const {
    return has(key) ? get<T>(key) : fallback;
  }
  const std::map<std::string, GgufValue>& metadata() const { return metadata_; }

  const std::map<std::string, GgufTensor>& tensors() const { return tensors_; }
  bool has_tensor(const std::string& name) const { return tensors_.count(name) != 0; }
  // NOT_FOUND if there is none; INVALID_ARGUMENT if its shape is another.
  const GgufTensor& tensor(const std::string& name, const std::vector<int64_t>& shape) const;

 private:
  std::shared_ptr<const base::MappedFile> map_;
  std::map<std::string, GgufValue> metadata_;
  std::map<std::string, GgufTensor> tensors_;
};

// Block layout of a type: `numbers` elements lie in `bytes` bytes.
struct GgufBlock {
  int64_t numbers, bytes;
};
GgufBlock gguf_block(GgufType type);

// The numbers of a tensor, row-major, exactly as ggml dequantises them.
std::vector<float> dequantise(const GgufTensor& tensor);

}  // namespace masbak::models

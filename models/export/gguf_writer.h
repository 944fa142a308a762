// Writes the GGUF format, version 3, little-endian (docs/gguf.md of the ggml project).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "models/checkpoint/gguf.h"

namespace masbak::models {

class GgufWriter {
 public:
  void put(const std::string& key, uint32_t value);
  void put(const std::string& key, float value);
  void put(const std::string& key, bool value);
  void put(const std::string& key, const std::string& value);
  void put(const std::string& key, const char* value) { put(key, std::string(value)); }
  void put(const std::string& key, const std::vector<std::string>& values);
  void put(const std::string& key, const std::vector<int32_t>& values);
  void put(const std::string& key, const std::vector<float>& values);

  // Computed when it is written: float32, contiguous, of this shape (outermost first). A type whose blocks do not fill
  // the rows becomes BF16.
  void add(const std::string& name, std::vector<int64_t> shape, GgufType type, std::function<at::Tensor()> numbers);

  // The file appears whole or not at all; at no time lies more than one tensor in memory. ALREADY_EXISTS if something
  // is there, RESOURCE_EXHAUSTED for a full disk. Returns the size in bytes.
  uint64_t write(const std::filesystem::path& file) const;

  size_t tensors() const { return tensors_.size(); }

 private:
  struct Tensor {
    std::string name;
    std::vector<int64_t> shape;
    GgufType type;
    std::function<at::Tensor()> numbers;
    uint64_t bytes() const;
  };
  std::string header() const;
  void begin_value(const std::string& key, uint32_t type);
  void begin_array(const std::string& key, uint32_t type, size_t size);  // of `size` values of the type

  std::string metadata_;
  uint64_t keys_ = 0;
  std::vector<Tensor> tensors_;
};

}  // namespace masbak::models

// Weights that files hold in fewer bits than the model computes with: DeepSeek's FP8, and bitsandbytes' NF4 and
// int8, which `quantize` writes too. They stay as small in memory (mapped) and are widened piece by piece.
//
// Beside the tensor NAME lie its scales; STEM is NAME without a final ".weight":
//
//   FP8    NAME_scale_inv [rows / block, columns / block]: value = e4m3 code * scale of its block
//   NF4    NAME.absmax, .quant_map, .nested_absmax, .nested_quant_map, .quant_state.bitsandbytes__nf4
//   int8   STEM.SCB [rows]: value = code * SCB / 127; STEM.weight_format
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/document.h"
#include "models/checkpoint/safetensors.h"

namespace masbak::models {

// A tensor [rows, columns] or [experts, rows, columns], stored small. Immutable; safe from any thread.
class QuantisedTensor {
 public:
  explicit QuantisedTensor(std::vector<int64_t> shape) : shape_(std::move(shape)) {}
  virtual ~QuantisedTensor() = default;

  const std::vector<int64_t>& shape() const { return shape_; }
  // Numbers [begin, begin + count) of the flattened tensor. The product with the scale is made in float32.
  virtual void widen(int64_t begin, int64_t count, float* out) const = 0;
  // The same into a contiguous tensor of float32, bfloat16 or float64, rounded once, on all threads.
  virtual void widen_into(at::Tensor& out, int64_t begin) const;
  at::Tensor widened(at::ScalarType dtype) const;
  // Where the codes and scales lie, and what widen_into fills.
  virtual at::Device device() const { return at::kCPU; }
  // A copy with codes and scales on `device`. INTERNAL if this one is no tensor of a file.
  virtual std::shared_ptr<const QuantisedTensor> on(const at::Device& device) const;

 private:
  std::vector<int64_t> shape_;
};

// The tensors of a folder, and what its config.json says about how they are stored.
class WeightFiles {
 public:
  // `checkpoint` must outlive it. INVALID_ARGUMENT for a weight_block_size that is no pair of sizes.
  explicit WeightFiles(const Checkpoint& checkpoint);

  bool has(const std::string& name) const { return checkpoint_.has(name); }
  const TensorView& at(const std::string& name) const { return checkpoint_.at(name); }
  const TensorView& at(const std::string& name, const std::vector<int64_t>& shape) const {
    return checkpoint_.at(name, shape);
  }
  // Rows and columns of the FP8 numbers that share a scale; zeros if config.json does not say.
  std::pair<int64_t, int64_t> fp8_block() const { return fp8_block_; }

 private:
  const Checkpoint& checkpoint_;
  std::pair<int64_t, int64_t> fp8_block_{0, 0};
};

// The tensor `name` as the files hold it, or null if it is stored plainly. Scales and codes are read through once:
// INVALID_ARGUMENT with the name of the tensor for a scale that is missing, no finite number or of a wrong shape, and
// for a code that means "not a number".
std::shared_ptr<const QuantisedTensor> open_quantised(const WeightFiles& files, const std::string& name,
                                                      const std::vector<int64_t>& shape);

// Checks what open_quantised checks, from headers alone; a plain tensor must have the shape.
void check_stored(const WeightFiles& files, const std::string& name, const std::vector<int64_t>& shape);

// The shape of the weight that the tensor `name` holds: packed NF4 has another one in the file.
std::vector<int64_t> stored_shape(const WeightFiles& files, const std::string& name);

// The tensors beside `name` that hold its scales and the like; empty if it is stored plainly.
std::vector<std::string> companions(const WeightFiles& files, const std::string& name);

// config.json's quantization_config: FP8 (quant_method fp8, e4m3, static block scales) or bitsandbytes. UNIMPLEMENTED,
// with the field, for another.
void check_quantization_config(const base::Fields& config);

// The 16 values of NF4 (Dettmers et al. 2023, QLoRA, appendix E), by code.
extern const float kNf4Values[16];

}  // namespace masbak::models

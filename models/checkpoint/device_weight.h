// Stored weights whose codes and scales lie in a GPU's memory, as small as in the file, and are widened there by the
// kernels of models/kernels/cuda.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string_view>
#include <vector>

#include "models/checkpoint/quantised_tensor.h"

namespace masbak::models {

// `codes` and the vectors are copied. The results have the bits that the CPU's reader gives.
std::shared_ptr<const QuantisedTensor> fp8_on(const at::Device& device, std::vector<int64_t> shape,
                                              std::string_view codes, const std::vector<float>& scales,
                                              int64_t block_rows, int64_t block_columns);
std::shared_ptr<const QuantisedTensor> int8_on(const at::Device& device, std::vector<int64_t> shape,
                                               std::string_view codes, const std::vector<float>& scales);

// The scales of NF4: numbers, or where nested_block is above 0 codes of numbers (see kernels.h, WidenNf4).
struct Nf4Scales {
  std::vector<float> absmax;
  std::string_view codes;
  std::vector<float> nested_table, nested_absmax;
  int64_t nested_block = 0;
  float nested_offset = 0;
};
std::shared_ptr<const QuantisedTensor> nf4_on(const at::Device& device, std::vector<int64_t> shape,
                                              std::string_view codes, const std::vector<float>& table,
                                              const Nf4Scales& scales, int64_t block);

}  // namespace masbak::models

// Between tensors in files (TensorView) and tensors in memory (at::Tensor).
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "models/checkpoint/safetensors.h"

namespace masbak::models {

// The names of the same types on both sides. INVALID_ARGUMENT for a type that the other side lacks.
at::ScalarType scalar_type(Dtype dtype);
Dtype file_dtype(at::ScalarType type);

// The tensor on the CPU, of type `type`. If the file holds that type (and the data are aligned for it),
// the result lies in the mapped file: nothing is copied, the map lives as long as the tensor's storage,
// the pages are shared between processes, and writing to the tensor is a segmentation fault, because the
// map is read-only. Otherwise a converted copy.
at::Tensor map_tensor(const TensorView& view, at::ScalarType type);
at::Tensor map_tensor(const TensorView& view);  // of the file's own type

// A view for write_safetensors. The tensor must be contiguous, on the CPU, and live until the file is
// written; INVALID_ARGUMENT otherwise.
TensorToWrite tensor_to_write(const std::string& name, const at::Tensor& tensor);

}  // namespace masbak::models

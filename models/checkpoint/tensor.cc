#include "models/checkpoint/tensor.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <cstring>
#include <utility>

namespace masbak::models {
namespace {

constexpr std::pair<Dtype, at::ScalarType> kTypes[] = {
    {Dtype::kF64, at::kDouble},
    {Dtype::kF32, at::kFloat},
    {Dtype::kF16, at::kHalf},
    {Dtype::kBF16, at::kBFloat16},
    {Dtype::kF8E4M3, at::kFloat8_e4m3fn},
    {Dtype::kI64, at::kLong},
    {Dtype::kI32, at::kInt},
    {Dtype::kI16, at::kShort},
    {Dtype::kI8, at::kChar},
    {Dtype::kU8, at::kByte},
    {Dtype::kBool, at::kBool},
};

}  // namespace

at::ScalarType scalar_type(Dtype dtype) {
  for (const auto& [file, memory] : kTypes) {
    if (file == dtype) return memory;
  }
  base::fail_input("no tensor type in memory for the file's " + std::string(dtype_name(dtype)));
}

Dtype file_dtype(at::ScalarType type) {
  for (const auto& [file, memory] : kTypes) {
    if (memory == type) return file;
  }
  base::fail_input(std::string("safetensors has no type for tensors of ") + c10::toString(type));
}

at::Tensor map_tensor(const TensorView& view, at::ScalarType type) {
  const at::ScalarType own = scalar_type(view.dtype);
  const bool aligned = reinterpret_cast<uintptr_t>(view.bytes.data()) % dtype_bytes(view.dtype) == 0;
  at::Tensor tensor;
  if (aligned && !view.bytes.empty()) {
    // The deleter holds the map; nothing else has to be freed.
    tensor = at::from_blob(
        const_cast<char*>(view.bytes.data()), view.shape, [file = view.file](void*) {}, at::TensorOptions().dtype(own));
  } else {
    tensor = at::empty(view.shape, at::TensorOptions().dtype(own));
    if (!view.bytes.empty()) std::memcpy(tensor.mutable_data_ptr(), view.bytes.data(), view.bytes.size());
  }
  return own == type ? tensor : tensor.to(type);
}

at::Tensor map_tensor(const TensorView& view) { return map_tensor(view, scalar_type(view.dtype)); }

TensorToWrite tensor_to_write(const std::string& name, const at::Tensor& tensor) {
  if (!tensor.is_contiguous() || !tensor.device().is_cpu()) {
    base::fail_input("only a contiguous tensor on the CPU can be written as it lies", {"", 0, name});
  }
  return {name,
          file_dtype(tensor.scalar_type()),
          tensor.sizes().vec(),
          {static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()}};
}

}  // namespace masbak::models

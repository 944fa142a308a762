#include "models/checkpoint/device_weight.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <utility>

#include "base/error.h"
#include "models/kernels/cuda/library.h"

namespace masbak::models {
namespace {

at::Tensor bytes_on(const at::Device& device, std::string_view bytes) {
  at::Tensor here = at::empty({static_cast<int64_t>(bytes.size())}, at::TensorOptions().dtype(at::kByte));
  if (!bytes.empty()) std::memcpy(here.mutable_data_ptr(), bytes.data(), bytes.size());
  return here.to(device);
}

at::Tensor floats_on(const at::Device& device, const std::vector<float>& numbers) {
  at::Tensor here = at::empty({static_cast<int64_t>(numbers.size())}, at::TensorOptions().dtype(at::kFloat));
  std::copy(numbers.begin(), numbers.end(), here.mutable_data_ptr<float>());
  return here.to(device);
}

class DeviceWeight final : public QuantisedTensor {
 public:
  using Widen = std::function<void(const cuda::KernelTable& kernels, const at::Tensor& out, int64_t begin)>;

  DeviceWeight(std::vector<int64_t> shape, const at::Device& device, Widen widen)
      : QuantisedTensor(std::move(shape)), device_(device), widen_(std::move(widen)) {}

  at::Device device() const override { return device_; }
  void widen_into(at::Tensor& out, int64_t begin) const override {
    const cuda::KernelTable* kernels = cuda::kernels_for(out);
    if (!kernels || out.device() != device_ || !out.is_contiguous()) {
      throw base::Error(base::Code::kInternal, "a weight stored on a GPU widens into contiguous tensors there only");
    }
    widen_(*kernels, out, begin);
  }
  void widen(int64_t begin, int64_t count, float* out) const override {
    at::Tensor there = at::empty({count}, at::TensorOptions().dtype(at::kFloat).device(device_));
    widen_into(there, begin);
    const at::Tensor here = there.cpu();
    std::copy_n(here.const_data_ptr<float>(), count, out);
  }

 private:
  at::Device device_;
  Widen widen_;
};

template <typename Arguments>
void widen(cuda::Launch<Arguments> kernel, Arguments arguments, const at::Tensor& out, int64_t begin) {
  arguments.begin = begin;
  arguments.count = out.numel();
  arguments.type = cuda::type_of(out);
  arguments.out = out.mutable_data_ptr();
  cuda::launch(kernel, out, arguments);
}

}  // namespace

// The tensors that hold codes and scales live in the closures.

std::shared_ptr<const QuantisedTensor> fp8_on(const at::Device& device, std::vector<int64_t> shape,
                                              std::string_view codes, const std::vector<float>& scales,
                                              int64_t block_rows, int64_t block_columns) {
  cuda::WidenFp8 a;
  a.rows = shape[shape.size() - 2];
  a.columns = shape.back();
  a.block_rows = block_rows;
  a.block_columns = block_columns;
  const auto run = [a, codes = bytes_on(device, codes), scales = floats_on(device, scales)](
                       const cuda::KernelTable& kernels, const at::Tensor& out, int64_t begin) {
    auto all = a;
    all.codes = codes.const_data_ptr<uint8_t>();
    all.scales = scales.const_data_ptr<float>();
    widen(kernels.widen_fp8, all, out, begin);
  };
  return std::make_shared<DeviceWeight>(std::move(shape), device, run);
}

std::shared_ptr<const QuantisedTensor> int8_on(const at::Device& device, std::vector<int64_t> shape,
                                               std::string_view codes, const std::vector<float>& scales) {
  const auto run = [columns = shape.back(), codes = bytes_on(device, codes), scales = floats_on(device, scales)](
                       const cuda::KernelTable& kernels, const at::Tensor& out, int64_t begin) {
    cuda::WidenInt8 a;
    a.columns = columns;
    a.codes = reinterpret_cast<const int8_t*>(codes.const_data_ptr<uint8_t>());
    a.scales = scales.const_data_ptr<float>();
    widen(kernels.widen_int8, a, out, begin);
  };
  return std::make_shared<DeviceWeight>(std::move(shape), device, run);
}

std::shared_ptr<const QuantisedTensor> nf4_on(const at::Device& device, std::vector<int64_t> shape,
                                              std::string_view codes, const std::vector<float>& table,
                                              const Nf4Scales& scales, int64_t block) {
  cuda::WidenNf4 a;
  a.block = block;
  a.nested_block = scales.nested_block;
  a.nested_offset = scales.nested_offset;
  const auto run = [a, codes = bytes_on(device, codes), table = floats_on(device, table),
                    absmax = floats_on(device, scales.absmax), absmax_codes = bytes_on(device, scales.codes),
                    nested_table = floats_on(device, scales.nested_table),
                    nested_absmax = floats_on(device, scales.nested_absmax)](const cuda::KernelTable& kernels,
                                                                             const at::Tensor& out, int64_t begin) {
    auto all = a;
    all.codes = codes.const_data_ptr<uint8_t>();
    all.table = table.const_data_ptr<float>();
    all.absmax = absmax.const_data_ptr<float>();
    all.absmax_codes = absmax_codes.const_data_ptr<uint8_t>();
    all.nested_table = nested_table.const_data_ptr<float>();
    all.nested_absmax = nested_absmax.const_data_ptr<float>();
    widen(kernels.widen_nf4, all, out, begin);
  };
  return std::make_shared<DeviceWeight>(std::move(shape), device, run);
}

}  // namespace masbak::models

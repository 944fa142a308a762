#include "models/checkpoint/quantised_tensor.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "models/checkpoint/device_weight.h"

namespace masbak::models {

const float kNf4Values[16] = {-1.0F,
                              -0.6961928009986877F,
                              -0.5250730514526367F,
                              -0.39491748809814453F,
                              -0.28444138169288635F,
                              -0.18477343022823334F,
                              -0.09105003625154495F,
                              0.0F,
                              0.07958029955625534F,
                              0.16093020141124725F,
                              0.24611230194568634F,
                              0.33791524171829224F,
                              0.44070982933044434F,
                              0.5626170039176941F,
                              0.7229568362236023F,
                              1.0F};

namespace {

const std::string kState = ".quant_state.bitsandbytes__nf4";

std::string stem(const std::string& name) { return name.ends_with(".weight") ? name.substr(0, name.size() - 7) : name; }
std::string fp8_scale(const std::string& name) { return name + "_scale_inv"; }

base::Where where(const TensorView& view) { return {view.file->path().string(), 0, view.name}; }

int64_t product(const std::vector<int64_t>& shape, size_t first, size_t last) {
  int64_t product = 1;
  for (size_t i = first; i < last; ++i) product *= shape[i];
  return product;
}

// A tensor of scales as float32 numbers: finite ones.
std::vector<float> finite_floats(const TensorView& view) {
  if (view.dtype != Dtype::kF32) {
    base::fail_input("scales must be stored as F32, found " + std::string(dtype_name(view.dtype)), where(view));
  }
  std::vector<float> numbers(view.numel());
  if (!numbers.empty()) std::memcpy(numbers.data(), view.bytes.data(), view.bytes.size());
  for (const float number : numbers) {
    if (!std::isfinite(number)) {
      base::fail_input("a scale is no finite number; the file is damaged, fetch it again", where(view));
    }
  }
  return numbers;
}

// 1 sign, 4 exponent and 3 mantissa bits, bias 7, no infinity; 0x7f and 0xff are "not a number".
const std::array<float, 256>& e4m3_values() {
  static const std::array<float, 256> kValues = [] {
    std::array<float, 256> values;
    for (int code = 0; code < 256; ++code) {
      const int exponent = (code >> 3) & 15, mantissa = code & 7;
      const float size = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                                       : std::ldexp(static_cast<float>(mantissa + 8), exponent - 10);
      values[code] = code & 128 ? -size : size;
    }
    return values;
  }();
  return kValues;
}

class Fp8Tensor final : public QuantisedTensor {
 public:
  Fp8Tensor(const TensorView& codes, const TensorView& scales, int64_t block_rows, int64_t block_columns)
      : QuantisedTensor(codes.shape),
        codes_(codes),
        scales_(finite_floats(scales)),
        rows_(codes.shape[codes.shape.size() - 2]),
        columns_(codes.shape.back()),
        block_rows_(block_rows),
        block_columns_(block_columns),
        grid_rows_((rows_ + block_rows - 1) / block_rows),
        grid_columns_((columns_ + block_columns - 1) / block_columns) {
    std::atomic<bool> damaged = false;
    at::parallel_for(0, static_cast<int64_t>(codes.bytes.size()), 1 << 20, [&](int64_t begin, int64_t end) {
      bool found = false;
      for (int64_t i = begin; i < end; ++i) found |= (codes.bytes[i] & 0x7f) == 0x7f;
      if (found) damaged = true;
    });
    if (damaged) base::fail_input("an FP8 code is \"not a number\"; the file is damaged, fetch it again", where(codes));
  }

  void widen(int64_t begin, int64_t count, float* out) const override {
    const std::array<float, 256>& values = e4m3_values();
    const auto* codes = reinterpret_cast<const uint8_t*>(codes_.bytes.data());
    for (int64_t i = begin; i < begin + count;) {
      const int64_t line = i / columns_, column = i % columns_, expert = line / rows_, row = line % rows_;
      const float scale = scales_[(expert * grid_rows_ + row / block_rows_) * grid_columns_ + column / block_columns_];
      const int64_t block_end = std::min((column / block_columns_ + 1) * block_columns_, columns_);
      const int64_t end = std::min(i + block_end - column, begin + count);
      for (; i < end; ++i) *out++ = values[codes[i]] * scale;
    }
  }
  std::shared_ptr<const QuantisedTensor> on(const at::Device& device) const override {
    return fp8_on(device, shape(), codes_.bytes, scales_, block_rows_, block_columns_);
  }

 private:
  TensorView codes_;
  std::vector<float> scales_;
  int64_t rows_, columns_, block_rows_, block_columns_, grid_rows_, grid_columns_;
};

class Int8Tensor final : public QuantisedTensor {
 public:
  Int8Tensor(const TensorView& codes, const TensorView& scales)
      : QuantisedTensor(codes.shape), codes_(codes), scales_(finite_floats(scales)) {}

  void widen(int64_t begin, int64_t count, float* out) const override {
    constexpr float kStep = 1.0F / 127.0F;
    const int64_t columns = shape().back();
    const auto* codes = reinterpret_cast<const int8_t*>(codes_.bytes.data());
    for (int64_t i = begin; i < begin + count;) {
      const float scale = scales_[i / columns] * kStep;
      const int64_t end = std::min((i / columns + 1) * columns, begin + count);
      for (; i < end; ++i) *out++ = static_cast<float>(codes[i]) * scale;
    }
  }
  std::shared_ptr<const QuantisedTensor> on(const at::Device& device) const override {
    return int8_on(device, shape(), codes_.bytes, scales_);
  }

 private:
  TensorView codes_;
  std::vector<float> scales_;  // one for each row of each expert
};

struct Nf4State {
  int64_t block = 0, nested_block = 0;
  double offset = 0;
};

class Nf4Tensor final : public QuantisedTensor {
 public:
  // scales.absmax is filled in where the file has codes of it.
  Nf4Tensor(std::vector<int64_t> shape, const TensorView& codes, std::vector<float> table, Nf4Scales scales,
            int64_t block)
      : QuantisedTensor(std::move(shape)),
        codes_(codes),
        table_(std::move(table)),
        scales_(std::move(scales)),
        block_(block) {
    if (scales_.nested_block == 0) return;
    scales_.absmax.resize(scales_.codes.size());
    for (size_t i = 0; i < scales_.codes.size(); ++i) {
      float& scale = scales_.absmax[i];
      scale = scales_.nested_table[static_cast<uint8_t>(scales_.codes[i])] *
              scales_.nested_absmax[i / scales_.nested_block];
      scale += scales_.nested_offset;
    }
  }

  void widen(int64_t begin, int64_t count, float* out) const override {
    const auto* codes = reinterpret_cast<const uint8_t*>(codes_.bytes.data());
    for (int64_t i = begin; i < begin + count;) {
      const float scale = scales_.absmax[i / block_];
      const int64_t end = std::min((i / block_ + 1) * block_, begin + count);
      for (; i < end; ++i) *out++ = table_[i & 1 ? codes[i / 2] & 15 : codes[i / 2] >> 4] * scale;
    }
  }
  std::shared_ptr<const QuantisedTensor> on(const at::Device& device) const override {
    Nf4Scales scales = scales_;
    if (scales.nested_block > 0) scales.absmax.clear();  // the codes of them are a quarter as large
    return nf4_on(device, shape(), codes_.bytes, table_, scales, block_);
  }

 private:
  TensorView codes_;  // two a byte, the first in the high half
  std::vector<float> table_;
  Nf4Scales scales_;  // with one of each block of numbers widened: 1/16 byte a number
  int64_t block_;
};

Nf4State nf4_state(const TensorView& view, const std::vector<int64_t>& shape) {
  const base::Fields fields =
      base::Fields::from_json(base::parse_json(view.bytes, view.file->path().string()), view.file->path().string());
  if (fields.get<std::string>("quant_type") != "nf4") fields.fail("quant_type", "only nf4 is implemented");
  if (fields.get<std::vector<int64_t>>("shape") != shape) {
    base::fail_input("the tensor's shape does not fit config.json: expected " + shape_text(shape) + ", found " +
                         shape_text(fields.get<std::vector<int64_t>>("shape")),
                     where(view));
  }
  Nf4State state{fields.get<int64_t>("blocksize"), fields.get<int64_t>("nested_blocksize", 0),
                 fields.get<double>("nested_offset", 0)};
  if (state.block < 1 || state.nested_block < 0 || !std::isfinite(state.offset)) {
    base::fail_input("blocksize, nested_blocksize and nested_offset must be sizes and a finite number", where(view));
  }
  return state;
}

const TensorView& need(const WeightFiles& files, const std::string& name, Dtype dtype, int64_t count) {
  const TensorView& view = files.at(name);
  if (view.dtype != dtype || view.numel() != count) {
    base::fail_input("expected " + std::to_string(count) + " numbers of type " + std::string(dtype_name(dtype)) +
                         ", found " + shape_text(view.shape) + " of " + std::string(dtype_name(view.dtype)),
                     where(view));
  }
  return view;
}

int64_t blocks_of(int64_t count, int64_t block) { return (count + block - 1) / block; }

// Every tensor that an NF4 weight needs, with its size.
void check_nf4(const WeightFiles& files, const std::string& name, const std::vector<int64_t>& shape) {
  const Nf4State state = nf4_state(files.at(name + kState), shape);
  const int64_t count = product(shape, 0, shape.size()), blocks = blocks_of(count, state.block);
  need(files, name, Dtype::kU8, (count + 1) / 2);
  need(files, name + ".quant_map", Dtype::kF32, 16);
  need(files, name + ".absmax", state.nested_block ? Dtype::kU8 : Dtype::kF32, blocks);
  if (state.nested_block == 0) return;
  need(files, name + ".nested_absmax", Dtype::kF32, blocks_of(blocks, state.nested_block));
  need(files, name + ".nested_quant_map", Dtype::kF32, 256);
}

std::shared_ptr<const QuantisedTensor> open_nf4(const WeightFiles& files, const std::string& name,
                                                const std::vector<int64_t>& shape) {
  check_nf4(files, name, shape);
  const Nf4State state = nf4_state(files.at(name + kState), shape);
  Nf4Scales scales;
  if (state.nested_block == 0) {
    scales.absmax = finite_floats(files.at(name + ".absmax"));
  } else {
    scales.codes = files.at(name + ".absmax").bytes;
    scales.nested_table = finite_floats(files.at(name + ".nested_quant_map"));
    scales.nested_absmax = finite_floats(files.at(name + ".nested_absmax"));
    scales.nested_block = state.nested_block;
    scales.nested_offset = static_cast<float>(state.offset);
  }
  return std::make_shared<Nf4Tensor>(shape, files.at(name), finite_floats(files.at(name + ".quant_map")),
                                     std::move(scales), state.block);
}

// The size of FP8 blocks along one dimension: the configuration's, else the one that the grid of scales implies.
int64_t block_size(int64_t size, int64_t grid, int64_t configured, const TensorView& scales) {
  if (configured > 0 && blocks_of(size, configured) == grid) return configured;
  if (configured == 0 && grid > 0 && size % grid == 0) return std::max<int64_t>(1, size / grid);
  base::fail_input("a grid of scales " + shape_text(scales.shape) + " does not fit a weight with " +
                       std::to_string(size) + " rows or columns in blocks of " + std::to_string(configured),
                   where(scales));
}

std::pair<int64_t, int64_t> fp8_blocks(const WeightFiles& files, const std::string& name,
                                       const std::vector<int64_t>& shape) {
  const TensorView& codes = files.at(name, shape);
  if (codes.dtype != Dtype::kF8E4M3) {
    base::fail_input(
        "beside weight_scale_inv the weight must be F8_E4M3, found " + std::string(dtype_name(codes.dtype)),
        where(codes));
  }
  const TensorView& scales = files.at(fp8_scale(name));
  const auto [configured_rows, configured_columns] = files.fp8_block();
  const size_t last = shape.size() - 1;
  std::vector<int64_t> grid = scales.shape;
  if (scales.numel() == 1) grid.assign(shape.size(), 1);
  if (grid.size() != shape.size() || !std::equal(grid.begin(), grid.end() - 2, shape.begin())) {
    base::fail_input("a grid of scales " + shape_text(grid) + " does not fit a weight " + shape_text(shape),
                     where(scales));
  }
  const bool whole = scales.numel() == 1;  // one scale for the tensor, whatever the blocks
  return {block_size(shape[last - 1], grid[last - 1], whole ? 0 : configured_rows, scales),
          block_size(shape[last], grid[last], whole ? 0 : configured_columns, scales)};
}

enum class Storage { kPlain, kFp8, kNf4, kInt8 };

Storage storage_of(const WeightFiles& files, const std::string& name) {
  if (files.has(name + kState)) return Storage::kNf4;
  if (files.has(fp8_scale(name))) return Storage::kFp8;
  if (files.has(stem(name) + ".SCB")) return Storage::kInt8;
  if (!files.has(name)) return Storage::kPlain;
  const TensorView& view = files.at(name);
  if (view.dtype == Dtype::kF8E4M3) {
    base::fail_input("an F8_E4M3 weight needs its scales, " + fp8_scale(name) + ", which the files lack", where(view));
  }
  if (view.dtype == Dtype::kU8 || view.dtype == Dtype::kI8) {
    base::fail_input("a weight of type " + std::string(dtype_name(view.dtype)) +
                         " needs the scales of NF4 or int8 beside it, which the files lack",
                     where(view));
  }
  return Storage::kPlain;
}

}  // namespace

WeightFiles::WeightFiles(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {
  const std::filesystem::path config = checkpoint.folder() / "config.json";
  if (!std::filesystem::exists(config)) return;
  const base::Fields fields = base::Fields::read_json(config).child("quantization_config");
  if (!fields.has("weight_block_size")) return;
  const auto block = fields.get<std::vector<int64_t>>("weight_block_size");
  constexpr int64_t kLargest = 1 << 20;
  if (block.size() != 2 || std::min(block[0], block[1]) < 1 || std::max(block[0], block[1]) > kLargest) {
    fields.fail("weight_block_size", "expected the rows and the columns of a block, such as [128, 128]");
  }
  fp8_block_ = {block[0], block[1]};
}

void QuantisedTensor::widen_into(at::Tensor& out, int64_t begin) const {
  constexpr int64_t kPiece = 4096;
  const int64_t count = out.numel();
  at::parallel_for(0, blocks_of(count, kPiece), 16, [&](int64_t first, int64_t last) {
    std::array<float, kPiece> buffer;
    for (int64_t piece = first; piece < last; ++piece) {
      const int64_t at = piece * kPiece, size = std::min(kPiece, count - at);
      if (out.scalar_type() == at::kFloat) {
        widen(begin + at, size, out.mutable_data_ptr<float>() + at);
        continue;
      }
      widen(begin + at, size, buffer.data());
      if (out.scalar_type() == at::kBFloat16) {
        std::copy_n(buffer.data(), size, out.mutable_data_ptr<at::BFloat16>() + at);
      } else {
        std::copy_n(buffer.data(), size, out.mutable_data_ptr<double>() + at);
      }
    }
  });
}

std::shared_ptr<const QuantisedTensor> QuantisedTensor::on(const at::Device&) const {
  throw base::Error(base::Code::kInternal, "only a weight that a file holds can be copied to a device");
}

at::Tensor QuantisedTensor::widened(at::ScalarType dtype) const {
  at::Tensor out = at::empty(shape(), at::TensorOptions().dtype(dtype).device(device()));
  widen_into(out, 0);
  return out;
}

std::shared_ptr<const QuantisedTensor> open_quantised(const WeightFiles& files, const std::string& name,
                                                      const std::vector<int64_t>& shape) {
  const Storage storage = storage_of(files, name);
  if (storage == Storage::kPlain) return nullptr;
  check_stored(files, name, shape);
  if (storage == Storage::kNf4) return open_nf4(files, name, shape);
  if (storage == Storage::kInt8) {
    return std::make_shared<Int8Tensor>(files.at(name), files.at(stem(name) + ".SCB"));
  }
  const auto [rows, columns] = fp8_blocks(files, name, shape);
  return std::make_shared<Fp8Tensor>(files.at(name), files.at(fp8_scale(name)), rows, columns);
}

void check_stored(const WeightFiles& files, const std::string& name, const std::vector<int64_t>& shape) {
  const Storage storage = storage_of(files, name);
  if (storage != Storage::kPlain && shape.size() < 2) {
    base::fail_input("only matrices can be stored in fewer bits", where(files.at(name)));
  }
  switch (storage) {
    case Storage::kPlain: files.at(name, shape); return;
    case Storage::kFp8: fp8_blocks(files, name, shape); return;
    case Storage::kNf4: check_nf4(files, name, shape); return;
    case Storage::kInt8:
      files.at(name, shape);
      need(files, name, Dtype::kI8, product(shape, 0, shape.size()));
      need(files, stem(name) + ".SCB", Dtype::kF32, product(shape, 0, shape.size() - 1));
  }
}

std::vector<int64_t> stored_shape(const WeightFiles& files, const std::string& name) {
  if (!files.has(name + kState)) return files.at(name).shape;
  const TensorView& state = files.at(name + kState);
  const std::string file = state.file->path().string();
  const auto shape =
      base::Fields::from_json(base::parse_json(state.bytes, file), file).get<std::vector<int64_t>>("shape");
  const int64_t most = 2 * static_cast<int64_t>(files.at(name).bytes.size());
  int64_t count = 1;
  for (const int64_t size : shape) {
    if (size < 1 || size > most / count) {
      base::fail_input("the shape " + shape_text(shape) + " of an NF4 weight does not fit its " +
                           std::to_string(most / 2) + " bytes of codes",
                       where(state));
    }
    count *= size;
  }
  return shape;
}

std::vector<std::string> companions(const WeightFiles& files, const std::string& name) {
  std::vector<std::string> found;
  for (const std::string& beside :
       {fp8_scale(name), name + ".absmax", name + ".quant_map", name + ".nested_absmax", name + ".nested_quant_map",
        name + kState, stem(name) + ".SCB", stem(name) + ".weight_format"}) {
    if (files.has(beside)) found.push_back(beside);
  }
  return found;
}

void check_quantization_config(const base::Fields& config) {
  if (!config.has("quantization_config")) return;
  const base::Fields fields = config.child("quantization_config");
  const std::string method = fields.get<std::string>("quant_method", "");
  const auto refuse = [&](const std::string& key, const std::string& message) {
    throw base::Error(base::Code::kUnimplemented, message, fields.where(key));
  };
  if (method == "fp8") {
    if (fields.get<std::string>("fmt", "e4m3") != "e4m3") refuse("fmt", "of FP8 formats only e4m3 is implemented");
    return;
  }
  if (method != "bitsandbytes") {
    refuse("quant_method", "weights stored with quant_method \"" + method +
                               "\" cannot be read; fp8 and bitsandbytes (nf4, int8) can. Use another checkpoint");
  }
  if (fields.get<bool>("load_in_4bit", false) && fields.get<std::string>("bnb_4bit_quant_type", "fp4") != "nf4") {
    refuse("bnb_4bit_quant_type", "of bitsandbytes' 4-bit types only nf4 is implemented");
  }
}

}  // namespace masbak::models

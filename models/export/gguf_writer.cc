#include "models/export/gguf_writer.h"

#include <ATen/core/Tensor.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/durable_file.h"
#include "base/error.h"
#include "models/checkpoint/float_bits.h"

namespace masbak::models {
namespace {

// The numbers of metadata value types.
enum ValueType : uint32_t { kU32 = 4, kI32 = 5, kF32 = 6, kBool = 7, kString = 8, kArray = 9 };

constexpr uint64_t kAlignment = 32;  // general.alignment where the file does not say

template <typename T>
void append(std::string& out, T value) {
  const auto* bytes = reinterpret_cast<const char*>(&value);
  out.append(bytes, sizeof(T));
}

void append_text(std::string& out, std::string_view text) {
  append<uint64_t>(out, text.size());
  out.append(text);
}

uint64_t aligned(uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

void append_bfloat16(const float* numbers, int64_t count, std::string& out) {
  for (int64_t i = 0; i < count; ++i) append<uint16_t>(out, bfloat16_from_float(numbers[i]));
}

// 32 numbers: a scale in half precision, then each number in units of it (quantize_row_q8_0_ref of ggml-quants.c).
void append_q8_0(const float* numbers, int64_t count, std::string& out) {
  for (int64_t begin = 0; begin < count; begin += 32) {
    float largest = 0;
    for (int64_t i = 0; i < 32; ++i) largest = std::max(largest, std::abs(numbers[begin + i]));
    const float scale = largest / 127, inverse = scale == 0 ? 0 : 1 / scale;
    append<uint16_t>(out, c10::Half(scale).x);
    for (int64_t i = 0; i < 32; ++i) {
      append<int8_t>(out, static_cast<int8_t>(std::round(numbers[begin + i] * inverse)));
    }
  }
}

constexpr int64_t kPieceNumbers = 1 << 20;

void write_numbers(const float* numbers, int64_t count, GgufType type, base::DurableWriter& out) {
  if (type == GgufType::kF32) {
    out.write({reinterpret_cast<const char*>(numbers), static_cast<size_t>(count) * sizeof(float)});
    return;
  }
  std::string piece;
  for (int64_t begin = 0; begin < count; begin += kPieceNumbers) {
    const int64_t part = std::min(kPieceNumbers, count - begin);
    piece.clear();
    if (type == GgufType::kBF16) {
      append_bfloat16(numbers + begin, part, piece);
    } else {
      append_q8_0(numbers + begin, part, piece);
    }
    out.write(piece);
  }
}

int64_t numbers_of(const std::vector<int64_t>& shape) {
  int64_t product = 1;
  for (int64_t size : shape) product *= size;
  return product;
}

}  // namespace

void GgufWriter::begin_value(const std::string& key, uint32_t type) {
  append_text(metadata_, key);
  append(metadata_, type);
  ++keys_;
}

void GgufWriter::begin_array(const std::string& key, uint32_t type, size_t size) {
  begin_value(key, kArray);
  append(metadata_, type);
  append<uint64_t>(metadata_, size);
}

void GgufWriter::put(const std::string& key, uint32_t value) {
  begin_value(key, kU32);
  append(metadata_, value);
}

void GgufWriter::put(const std::string& key, float value) {
  begin_value(key, kF32);
  append(metadata_, value);
}

void GgufWriter::put(const std::string& key, bool value) {
  begin_value(key, kBool);
  append<uint8_t>(metadata_, value ? 1 : 0);
}

void GgufWriter::put(const std::string& key, const std::string& value) {
  begin_value(key, kString);
  append_text(metadata_, value);
}

void GgufWriter::put(const std::string& key, const std::vector<std::string>& values) {
  begin_array(key, kString, values.size());
  for (const std::string& value : values) append_text(metadata_, value);
}

void GgufWriter::put(const std::string& key, const std::vector<int32_t>& values) {
  begin_array(key, kI32, values.size());
  for (const int32_t value : values) append(metadata_, value);
}

void GgufWriter::put(const std::string& key, const std::vector<float>& values) {
  begin_array(key, kF32, values.size());
  for (const float value : values) append(metadata_, value);
}

void GgufWriter::add(const std::string& name, std::vector<int64_t> shape, GgufType type,
                     std::function<at::Tensor()> numbers) {
  if (shape.back() % gguf_block(type).numbers != 0) type = GgufType::kBF16;
  tensors_.push_back({name, std::move(shape), type, std::move(numbers)});
}

uint64_t GgufWriter::Tensor::bytes() const {
  const GgufBlock block = gguf_block(type);
  return static_cast<uint64_t>(numbers_of(shape) / block.numbers * block.bytes);
}

std::string GgufWriter::header() const {
  std::string out = "GGUF";
  append<uint32_t>(out, 3);
  append<uint64_t>(out, tensors_.size());
  append<uint64_t>(out, keys_);
  out += metadata_;
  uint64_t offset = 0;
  for (const Tensor& tensor : tensors_) {
    append_text(out, tensor.name);
    append<uint32_t>(out, static_cast<uint32_t>(tensor.shape.size()));
    for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size) {
      append<uint64_t>(out, static_cast<uint64_t>(*size));
    }
    append<uint32_t>(out, static_cast<uint32_t>(tensor.type));
    append<uint64_t>(out, offset);
    offset += aligned(tensor.bytes());
  }
  out.resize(aligned(out.size()), '\0');
  return out;
}

uint64_t GgufWriter::write(const std::filesystem::path& file) const {
  if (std::filesystem::exists(file)) {
    throw base::Error(base::Code::kAlreadyExists, "there is a file of this name already; choose another, or remove it",
                      {file.string(), 0, ""});
  }
  base::DurableWriter out(file);
  const std::string header = this->header();
  out.write(header);
  uint64_t bytes = header.size();
  for (const Tensor& tensor : tensors_) {
    const at::Tensor numbers = tensor.numbers().to(at::kFloat).contiguous();
    if (numbers.sizes().vec() != tensor.shape) {
      throw base::Error(base::Code::kInternal, "a tensor of another shape than announced: " + tensor.name);
    }
    write_numbers(numbers.const_data_ptr<float>(), numbers.numel(), tensor.type, out);
    out.write(std::string(aligned(tensor.bytes()) - tensor.bytes(), '\0'));
    bytes += aligned(tensor.bytes());
  }
  out.commit();
  return bytes;
}

}  // namespace masbak::models

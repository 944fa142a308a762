// Element types of GGUF, as ggml-quants.c of the ggml project defines them. A scale has 11 significant
// bits and a quantised number at most 8, so each product is exact in float32 and the results do not
// depend on the compiler's use of fused instructions.
#include <cstring>

#include "base/error.h"
#include "models/checkpoint/float_bits.h"
#include "models/checkpoint/gguf.h"

namespace masbak::models {
namespace {

uint16_t load_u16(const char* bytes) {
  uint16_t value = 0;
  std::memcpy(&value, bytes, 2);
  return value;
}

// A block of 32 numbers: 16 bytes hold number i in the low half of byte i, number i + 16 in the high half.
template <typename Function>
void unpack_nibbles(const char* packed, float* out, Function number) {
  for (int i = 0; i < 16; ++i) {
    const auto byte = static_cast<uint8_t>(packed[i]);
    out[i] = number(byte & 0x0f);
    out[i + 16] = number(byte >> 4);
  }
}

void decode_block(GgufType type, const char* block, float* out) {
  switch (type) {
    case GgufType::kF32: std::memcpy(out, block, 4); return;
    case GgufType::kF16: *out = float_from_half(load_u16(block)); return;
    case GgufType::kBF16: *out = float_from_bfloat16(load_u16(block)); return;
    case GgufType::kQ4_0: {  // scale, 16 bytes
      const float scale = float_from_half(load_u16(block));
      unpack_nibbles(block + 2, out, [&](int q) { return static_cast<float>(q - 8) * scale; });
      return;
    }
    case GgufType::kQ4_1: {  // scale, minimum, 16 bytes
      const float scale = float_from_half(load_u16(block)), minimum = float_from_half(load_u16(block + 2));
      unpack_nibbles(block + 4, out, [&](int q) { return static_cast<float>(q) * scale + minimum; });
      return;
    }
    case GgufType::kQ8_0: {  // scale, 32 signed bytes
      const float scale = float_from_half(load_u16(block));
      for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(static_cast<int8_t>(block[2 + i])) * scale;
      return;
    }
  }
  throw base::Error(base::Code::kInternal, "a GGUF type outside the table");
}

}  // namespace

std::string_view gguf_type_name(GgufType type) {
  switch (type) {
    case GgufType::kF32: return "F32";
    case GgufType::kF16: return "F16";
    case GgufType::kQ4_0: return "Q4_0";
    case GgufType::kQ4_1: return "Q4_1";
    case GgufType::kQ8_0: return "Q8_0";
    case GgufType::kBF16: return "BF16";
  }
  return "unknown";
}

GgufBlock gguf_block(GgufType type) {
  switch (type) {
    case GgufType::kF32: return {1, 4};
    case GgufType::kF16: return {1, 2};
    case GgufType::kBF16: return {1, 2};
    case GgufType::kQ4_0: return {32, 18};
    case GgufType::kQ4_1: return {32, 20};
    case GgufType::kQ8_0: return {32, 34};
  }
  throw base::Error(base::Code::kInternal, "a GGUF type outside the table");
}

std::vector<float> dequantise(const GgufTensor& tensor) {
  const GgufBlock block = gguf_block(tensor.type);
  std::vector<float> numbers(tensor.numel());
  if (tensor.type == GgufType::kF32) {
    if (!numbers.empty()) std::memcpy(numbers.data(), tensor.bytes.data(), tensor.bytes.size());
    return numbers;
  }
  const char* bytes = tensor.bytes.data();
  for (size_t at = 0; at < numbers.size(); at += block.numbers, bytes += block.bytes) {
    decode_block(tensor.type, bytes, numbers.data() + at);
  }
  return numbers;
}

}  // namespace masbak::models

// The 16-bit floating-point types by their bits, for code that reads and writes files without LibTorch.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace masbak::models {

// IEEE 754 binary16 to float: exact.
inline float float_from_half(uint16_t bits) {
  const bool negative = bits & 0x8000;
  const int exponent = (bits >> 10) & 0x1f, mantissa = bits & 0x3ff;
  float value = 0;
  if (exponent == 0) {
    value = std::ldexp(static_cast<float>(mantissa), -24);
  } else if (exponent == 31) {
    value = mantissa ? std::numeric_limits<float>::quiet_NaN() : std::numeric_limits<float>::infinity();
  } else {
    value = std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
  }
  return negative ? -value : value;
}

// Float to IEEE 754 binary16, rounded to nearest, ties to even; too large becomes infinity, NaN stays NaN.
inline uint16_t half_from_float(float value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const float size = std::fabs(value);
  if (std::isnan(value)) return sign | 0x7e00;
  if (size >= 65520.0F) return sign | 0x7c00;  // halfway between the largest number and what would follow it
  if (size < 0x1p-14F) return static_cast<uint16_t>(sign | static_cast<uint16_t>(std::nearbyint(size * 0x1p24F)));
  const uint32_t bits = std::bit_cast<uint32_t>(size) - (uint32_t{112} << 23);
  return static_cast<uint16_t>(sign | ((bits + 0xfff + ((bits >> 13) & 1)) >> 13));
}

// bfloat16 to float: exact.
inline float float_from_bfloat16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

// Float to bfloat16, rounded to nearest, ties to even; NaN stays NaN.
inline uint16_t bfloat16_from_float(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

}  // namespace masbak::models

// Weights stored in fewer bits become numbers. See kernels.h, WidenNf4 and below.
#pragma once

#include "models/kernels/cuda/grid.h"

namespace masbak::models::cuda {

// Writes kWide numbers at once; codes of one group lie in one block of scales, as the launch functions see to.
constexpr int kWidenThreads = 256;

template <typename T, int kWide>
struct WidenNf4Body {
  static constexpr int kThreads = kWidenThreads;

  static MASBAK_DEVICE float scale(const WidenNf4& a, int64_t block) {
    if (a.nested_block == 0) return a.absmax[block];
    const float inner = multiplied(a.nested_table[a.absmax_codes[block]], a.nested_absmax[block / a.nested_block]);
    return added(inner, a.nested_offset);
  }

  template <typename Block>
  static MASBAK_DEVICE void run(Block& block, const WidenNf4& a) {
    auto* out = static_cast<T*>(a.out);
    auto* table = block.template shared<float>(0);
    block.each([&](int thread) {
      if (thread < 16) table[thread] = a.table[thread];
    });
    block.each([&](int thread) {
      const int64_t step = block.x_count() * kThreads * kWide;
      for (int64_t at = (block.x() * kThreads + thread) * kWide; at < a.count; at += step) {
        const int64_t first = a.begin + at;
        const float of_block = scale(a, first / a.block);
        Pack<T, kWide> pack;
        if constexpr (kWide == 1) {
          const uint8_t two = a.codes[first / 2];
          from_float(multiplied(table[first & 1 ? two & 15 : two >> 4], of_block), pack.at[0]);
        } else {
          const Pack<uint8_t, kWide / 2> codes = load<kWide / 2>(a.codes + first / 2);
          for (int i = 0; i < kWide / 2; ++i) {
            from_float(multiplied(table[codes.at[i] >> 4], of_block), pack.at[2 * i]);
            from_float(multiplied(table[codes.at[i] & 15], of_block), pack.at[2 * i + 1]);
          }
        }
        store<kWide>(out + at, pack);
      }
    });
  }
};

// The code's exponent and mantissa where float has them are the number, but for the difference of the biases, 120.
// That holds for the numbers without a leading one too.
MASBAK_DEVICE float e4m3_to_float(uint8_t code) {
  const uint32_t size = code & 0x7f, sign = static_cast<uint32_t>(code & 0x80) << 24;
  if (size == 0x7f) return not_a_number();
  const float number = multiplied(float_of_bits(size << 20), 0x1p120F);
  return sign ? -number : number;
}

template <typename T, int kWide>
struct WidenFp8Body {
  static constexpr int kThreads = kWidenThreads;

  template <typename Block>
  static MASBAK_DEVICE void run(Block& block, const WidenFp8& a) {
    auto* out = static_cast<T*>(a.out);
    const int64_t grid_rows = (a.rows + a.block_rows - 1) / a.block_rows;
    const int64_t grid_columns = (a.columns + a.block_columns - 1) / a.block_columns;
    block.each([&](int thread) {
      const int64_t step = block.x_count() * kThreads * kWide;
      for (int64_t at = (block.x() * kThreads + thread) * kWide; at < a.count; at += step) {
        const int64_t first = a.begin + at, line = first / a.columns, column = first % a.columns;
        const int64_t expert = line / a.rows, row = line % a.rows;
        const int64_t grid_row = expert * grid_rows + row / a.block_rows;
        const float scale = a.scales[grid_row * grid_columns + column / a.block_columns];
        const Pack<uint8_t, kWide> codes = load<kWide>(a.codes + first);
        Pack<T, kWide> pack;
        for (int i = 0; i < kWide; ++i) from_float(multiplied(e4m3_to_float(codes.at[i]), scale), pack.at[i]);
        store<kWide>(out + at, pack);
      }
    });
  }
};

template <typename T, int kWide>
struct WidenInt8Body {
  static constexpr int kThreads = kWidenThreads;

  template <typename Block>
  static MASBAK_DEVICE void run(Block& block, const WidenInt8& a) {
    constexpr float kStep = 1.0F / 127.0F;
    auto* out = static_cast<T*>(a.out);
    block.each([&](int thread) {
      const int64_t step = block.x_count() * kThreads * kWide;
      for (int64_t at = (block.x() * kThreads + thread) * kWide; at < a.count; at += step) {
        const float scale = multiplied(a.scales[(a.begin + at) / a.columns], kStep);
        const Pack<int8_t, kWide> codes = load<kWide>(a.codes + a.begin + at);
        Pack<T, kWide> pack;
        for (int i = 0; i < kWide; ++i) from_float(multiplied(static_cast<float>(codes.at[i]), scale), pack.at[i]);
        store<kWide>(out + at, pack);
      }
    });
  }
};

// Groups of 16 bytes of results, if each lies within one block of scales and codes and results are aligned.
template <template <typename, int> class Body, typename Launcher, typename Arguments>
const char* launch_widen(const Arguments& a, bool whole_groups, int64_t shared_bytes, void* stream) {
  if (a.count == 0) return nullptr;
  Launcher launcher(stream);
  const bool known = with_type(a.type, [&](auto number) {
    using T = decltype(number);
    constexpr int kWide = 16 / sizeof(T);
    const auto grid = [&](int64_t wide) {
      const int64_t each = kWidenThreads * wide;
      return Grid{blocks_for((a.count + each - 1) / each)};
    };
    if (whole_groups && is_aligned(a.out, 16) && is_aligned(a.codes, kWide)) {
      launcher.template run<Body<T, kWide>>(grid(kWide), shared_bytes, a);
    } else {
      launcher.template run<Body<T, 1>>(grid(1), shared_bytes, a);
    }
  });
  return known ? launcher.error() : "widen: unknown type";
}

template <typename Launcher>
const char* launch_widen_nf4(const WidenNf4& a, void* stream) {
  if (a.begin < 0 || a.count < 0 || a.block < 1 || a.nested_block < 0) {
    return "widen_nf4: expected begin, count and nested_block >= 0 and a block of at least 1 number";
  }
  if (a.nested_block == 0 ? !a.absmax : !a.absmax_codes || !a.nested_table || !a.nested_absmax) {
    return "widen_nf4: scales are missing: absmax, or absmax_codes with nested_table and nested_absmax";
  }
  const bool whole = a.begin % 8 == 0 && a.count % 8 == 0 && a.block % 8 == 0;
  return launch_widen<WidenNf4Body, Launcher>(a, whole, 16 * static_cast<int64_t>(sizeof(float)), stream);
}

template <typename Launcher>
const char* launch_widen_fp8(const WidenFp8& a, void* stream) {
  if (a.begin < 0 || a.count < 0 || a.rows < 1 || a.columns < 1 || a.block_rows < 1 || a.block_columns < 1) {
    return "widen_fp8: expected begin and count >= 0, and rows, columns and blocks of at least 1";
  }
  const bool whole = a.begin % 8 == 0 && a.count % 8 == 0 && a.columns % 8 == 0 && a.block_columns % 8 == 0;
  return launch_widen<WidenFp8Body, Launcher>(a, whole, 0, stream);
}

template <typename Launcher>
const char* launch_widen_int8(const WidenInt8& a, void* stream) {
  if (a.begin < 0 || a.count < 0 || a.columns < 1) return "widen_int8: expected begin and count >= 0 and columns >= 1";
  const bool whole = a.begin % 8 == 0 && a.count % 8 == 0 && a.columns % 8 == 0;
  return launch_widen<WidenInt8Body, Launcher>(a, whole, 0, stream);
}

template <typename Launcher>
void add_widen(KernelTable& table) {
  table.widen_nf4 = launch_widen_nf4<Launcher>;
  table.widen_fp8 = launch_widen_fp8<Launcher>;
  table.widen_int8 = launch_widen_int8<Launcher>;
}

}  // namespace masbak::models::cuda

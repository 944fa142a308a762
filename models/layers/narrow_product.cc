#include "models/layers/narrow_product.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#include "models/kernels/cpu/matrix.h"

namespace masbak::models {
namespace {

using kernels::kPanel;
using T = c10::BFloat16;

constexpr int64_t kNarrow = 64;
constexpr int64_t kRowBlock = 48;                    // rows whose sums of a panel stay in the first cache
constexpr int64_t kGrainNumbers = int64_t{1} << 20;  // products a thread takes at least

bool in_rows(const at::Tensor& x) { return x.dim() == 2 && (x.stride(1) == 1 || x.size(1) == 1); }

bool on_cpu(const at::Tensor& x) { return x.is_cpu() && x.scalar_type() == at::kBFloat16; }

struct Free {
  void operator()(T* room) const { std::free(room); }
};

// Room for `numbers`, kept by the thread for the next product.
T* scratch(int64_t numbers) {
  thread_local std::unique_ptr<T, Free> room;
  thread_local int64_t size = 0;
  if (size < numbers) {
    const int64_t larger = (numbers + 31) / 32 * 32;  // whole lines of the cache
    size = 0;
    room.reset(static_cast<T*>(std::aligned_alloc(64, static_cast<size_t>(larger) * sizeof(T))));
    if (!room) throw std::bad_alloc();
    size = larger;
  }
  return room.get();
}

int64_t grain(int64_t numbers_each) { return std::max<int64_t>(1, kGrainNumbers / std::max<int64_t>(1, numbers_each)); }

}  // namespace

bool is_narrow(const at::Tensor& x_TI, const at::Tensor& w_OI) {
  return on_cpu(x_TI) && on_cpu(w_OI) && std::min(w_OI.size(0), w_OI.size(1)) <= kNarrow && in_rows(x_TI) &&
         (in_rows(w_OI) || in_rows(w_OI.t()));
}

void narrow_product(const at::Tensor& x_TI, const at::Tensor& w_OI, double scale, bool add, at::Tensor& y_TO) {
  const auto& table = kernels::matrix_kernels<T>();
  const int64_t rows = x_TI.size(0), depth = x_TI.size(1), columns = w_OI.size(0);
  T* packed = scratch(kernels::packed_size<T>(depth, columns));
  if (in_rows(w_OI)) {
    table.pack_transposed(depth, columns, w_OI.const_data_ptr<T>(), w_OI.stride(0), packed);
  } else {
    table.pack(depth, columns, w_OI.const_data_ptr<T>(), w_OI.stride(1), packed);
  }
  const T* x = x_TI.const_data_ptr<T>();
  T* y = y_TO.mutable_data_ptr<T>();
  const int64_t x_stride = x_TI.stride(0), y_stride = y_TO.stride(0), panel = kernels::panel_size<T>(depth);
  const int64_t blocks = (rows + kRowBlock - 1) / kRowBlock;
  at::parallel_for(0, blocks, grain(kRowBlock * depth * columns), [&](int64_t first, int64_t last) {
    alignas(64) float sums[kRowBlock * kPanel];
    for (int64_t row = first * kRowBlock; row < std::min(rows, last * kRowBlock); row += kRowBlock) {
      const int64_t count = std::min(kRowBlock, rows - row);
      for (int64_t column = 0; column < columns; column += kPanel) {
        const int64_t width = std::min(kPanel, columns - column);
        table.multiply(count, width, depth, {x + row * x_stride, x_stride}, packed + column / kPanel * panel, panel,
                       false, sums, kPanel);
        table.round_to(count, width, sums, kPanel, static_cast<float>(scale), add, y + row * y_stride + column,
                       y_stride);
      }
    }
  });
}

bool is_narrow_outer(const at::Tensor& y_TO, const at::Tensor& x_TI) {
  return on_cpu(y_TO) && on_cpu(x_TI) && std::min(y_TO.size(1), x_TI.size(1)) <= kNarrow && in_rows(y_TO) &&
         in_rows(x_TI);
}

at::Tensor narrow_outer(const at::Tensor& y_TO, const at::Tensor& x_TI) {
  if (y_TO.size(1) > x_TI.size(1)) return narrow_outer(x_TI, y_TO).t();
  const auto& table = kernels::matrix_kernels<T>();
  const int64_t rows = y_TO.size(0), narrow = y_TO.size(1), wide = x_TI.size(1);
  const at::Tensor left_OT = y_TO.t().contiguous();
  at::Tensor g_OI = at::empty({narrow, wide}, at::TensorOptions().dtype(at::kFloat));
  const T* x = x_TI.const_data_ptr<T>();
  float* g = g_OI.mutable_data_ptr<float>();
  const int64_t x_stride = x_TI.stride(0), panel = kernels::panel_size<T>(rows);
  const int64_t panels = (wide + kPanel - 1) / kPanel;
  at::parallel_for(0, panels, grain(kPanel * rows * narrow), [&](int64_t first, int64_t last) {
    T* packed = scratch(panel);
    for (int64_t column = first * kPanel; column < std::min(wide, last * kPanel); column += kPanel) {
      const int64_t width = std::min(kPanel, wide - column);
      table.pack(rows, width, x + column, x_stride, packed);
      table.multiply(narrow, width, rows, {left_OT.const_data_ptr<T>(), rows}, packed, panel, false, g + column, wide);
    }
  });
  return g_OI;
}

}  // namespace masbak::models

#include "models/layers/matrix_product.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

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
constexpr int64_t kDeepest = 2048;                   // numbers of the depth taken at once
constexpr int64_t kRowBlock = 48;                    // rows whose sums of a panel stay in the first cache
constexpr int64_t kGrainNumbers = int64_t{1} << 20;  // products a thread takes at least

bool in_rows(const at::Tensor& x) { return x.dim() == 2 && (x.stride(1) == 1 || x.size(1) == 1); }

bool on_cpu(const at::Tensor& x) { return x.is_cpu() && x.scalar_type() == at::kBFloat16; }

// One room of `numbers` a thread for each type and purpose, kept for the next product.
template <typename N>
class Scratch {
 public:
  N* room(int64_t numbers) {
    if (size_ < numbers) {
      const int64_t larger = (numbers + 31) / 32 * 32;  // whole lines of the cache
      size_ = 0;
      room_.reset(static_cast<N*>(std::aligned_alloc(64, static_cast<size_t>(larger) * sizeof(N))));
      if (!room_) throw std::bad_alloc();
      size_ = larger;
    }
    return room_.get();
  }

 private:
  struct Free {
    void operator()(N* room) const { std::free(room); }
  };
  std::unique_ptr<N, Free> room_;
  int64_t size_ = 0;
};

T* packed_room(int64_t numbers) {
  thread_local Scratch<T> scratch;
  return scratch.room(numbers);
}

float* wide_room(int64_t numbers) {
  thread_local Scratch<float> scratch;
  return scratch.room(numbers);
}

int64_t grain(int64_t numbers_each) { return std::max<int64_t>(1, kGrainNumbers / std::max<int64_t>(1, numbers_each)); }

// Intel's manual, volume 2A, CPUID leaf 7: EDX bit 22 is AMX-BF16. By hand, since clang 14 does not know the name.
bool has_tile_units() {
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d >> 22 & 1) != 0;
#else
  return false;
#endif
}

// Columns of W packed at a time: what a thread packs stays in its second cache while the rows pass over it.
int64_t columns_at_once(int64_t depth) {
  constexpr int64_t kPackedBytes = 1 << 20;
  const int64_t panel_bytes = kernels::panel_size<T>(depth) * static_cast<int64_t>(sizeof(T));
  const int64_t threads = at::in_parallel_region() ? 1 : at::get_num_threads();
  return std::max<int64_t>(1, threads * kPackedBytes / panel_bytes) * kPanel;
}

// A part of x as a left factor, in float where that is what is packed.
class LeftBlock {
 public:
  LeftBlock(const T* x, int64_t stride, int64_t rows, int64_t depth)
      : x_(x), stride_(stride), rows_(rows), depth_(depth) {
    if (table_.widen == nullptr) return;
    wide_ = wide_room(kRowBlock * depth);
    table_.widen(rows, depth, x, stride, wide_, depth);
  }
  // sums[rows, width] = or += this times a packed panel.
  void multiply(int64_t width, const T* panel, bool add, float* sums, int64_t sums_stride) const {
    const int64_t size = kernels::panel_size<T>(depth_);
    if (wide_ != nullptr) {
      floats_.multiply(rows_, width, depth_, {wide_, depth_}, reinterpret_cast<const float*>(panel), size / 2, add,
                       sums, sums_stride);
    } else {
      table_.multiply(rows_, width, depth_, {x_, stride_}, panel, size, add, sums, sums_stride);
    }
  }

 private:
  const kernels::MatrixKernels<T>& table_ = kernels::matrix_kernels<T>();
  const kernels::MatrixKernels<float>& floats_ = kernels::matrix_kernels<float>();
  const T* x_;
  const int64_t stride_, rows_, depth_;
  float* wide_ = nullptr;
};

}  // namespace

bool sizes_are_free() {
  static const bool free = kernels::best_isa() == kernels::Isa::kAvx512 && !has_tile_units();
  return free;
}

bool takes_product(const at::Tensor& x_TI, const at::Tensor& w_OI) {
  if (!on_cpu(x_TI) || !on_cpu(w_OI) || x_TI.dim() != 2 || w_OI.dim() != 2 || !in_rows(x_TI)) return false;
  if (!in_rows(w_OI) && !in_rows(w_OI.t())) return false;
  const bool narrow = std::min(w_OI.size(0), w_OI.size(1)) <= kNarrow;
  return narrow || (x_TI.size(0) >= kFewestProductRows && sizes_are_free());
}

void matrix_product(const at::Tensor& x_TI, const at::Tensor& w_OI, double scale, bool add, at::Tensor& y_TO) {
  const auto& table = kernels::matrix_kernels<T>();
  const int64_t rows = x_TI.size(0), whole_depth = x_TI.size(1), columns = w_OI.size(0);
  const bool as_rows = in_rows(w_OI);
  const int64_t w_stride = w_OI.stride(as_rows ? 0 : 1), x_stride = x_TI.stride(0), y_stride = y_TO.stride(0);
  T* y = y_TO.mutable_data_ptr<T>();
  const int64_t blocks = (rows + kRowBlock - 1) / kRowBlock;
  // The sums of a depth that is taken in several parts; otherwise they never leave a thread's stack.
  const bool deep = whole_depth > kDeepest;
  const at::Tensor kept = deep ? at::empty({rows, columns}, at::TensorOptions().dtype(at::kFloat)) : at::Tensor();
  for (int64_t k = 0; k < std::max<int64_t>(whole_depth, 1); k += kDeepest) {
    const int64_t depth = std::min(kDeepest, whole_depth - k), panel = kernels::panel_size<T>(depth);
    const bool last_part = k + kDeepest >= whole_depth;
    const T* x = x_TI.const_data_ptr<T>() + k;
    const T* w = w_OI.const_data_ptr<T>() + (as_rows ? k : k * w_stride);
    const int64_t at_once = columns_at_once(depth);
    for (int64_t begin = 0; begin < columns; begin += at_once) {
      const int64_t some = std::min(at_once, columns - begin), panels = (some + kPanel - 1) / kPanel;
      T* packed = packed_room(panels * panel);
      at::parallel_for(0, panels, grain(16 * kPanel * depth), [&](int64_t first, int64_t last) {
        const int64_t column = begin + first * kPanel, count = std::min(some, last * kPanel) - first * kPanel;
        if (as_rows) {
          table.pack_transposed(depth, count, w + column * w_stride, w_stride, packed + first * panel);
        } else {
          table.pack(depth, count, w + column, w_stride, packed + first * panel);
        }
      });
      at::parallel_for(0, blocks, grain(kRowBlock * depth * some), [&](int64_t first, int64_t last) {
        alignas(64) float room[kRowBlock * kPanel];
        for (int64_t row = first * kRowBlock; row < std::min(rows, last * kRowBlock); row += kRowBlock) {
          const int64_t count = std::min(kRowBlock, rows - row);
          const LeftBlock left(x + row * x_stride, x_stride, count, depth);
          for (int64_t column = 0; column < some; column += kPanel) {
            const int64_t width = std::min(kPanel, some - column);
            float* sums = deep ? kept.mutable_data_ptr<float>() + row * columns + begin + column : room;
            const int64_t sums_stride = deep ? columns : kPanel;
            left.multiply(width, packed + column / kPanel * panel, k > 0, sums, sums_stride);
            if (!last_part) continue;
            table.round_to(count, width, sums, sums_stride, static_cast<float>(scale), add,
                           y + row * y_stride + begin + column, y_stride);
          }
        }
      });
    }
  }
}

at::Tensor matrix_product(const at::Tensor& x_TI, const at::Tensor& w_OI) {
  at::Tensor y_TO = at::empty({x_TI.size(0), w_OI.size(0)}, x_TI.options());
  matrix_product(x_TI, w_OI, 1, false, y_TO);
  return y_TO;
}

void multiply_into(at::Tensor& y_TO, const at::Tensor& x_TI, const at::Tensor& w_OI) {
  const at::NoGradGuard no_grad;
  if (takes_product(x_TI, w_OI) && on_cpu(y_TO) && in_rows(y_TO)) {
    matrix_product(x_TI, w_OI, 1, false, y_TO);
  } else {
    at::mm_out(y_TO, x_TI, w_OI.t());
  }
}

void add_product_into(at::Tensor& y_TO, const at::Tensor& x_TI, const at::Tensor& w_OI, double scale) {
  const at::NoGradGuard no_grad;
  if (takes_product(x_TI, w_OI) && on_cpu(y_TO) && in_rows(y_TO)) {
    matrix_product(x_TI, w_OI, scale, true, y_TO);
  } else {
    at::addmm_out(y_TO, y_TO, x_TI, w_OI.t(), 1, scale);
  }
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
    T* packed = packed_room(panel);
    for (int64_t column = first * kPanel; column < std::min(wide, last * kPanel); column += kPanel) {
      const int64_t width = std::min(kPanel, wide - column);
      table.pack(rows, width, x + column, x_stride, packed);
      table.multiply(narrow, width, rows, {left_OT.const_data_ptr<T>(), rows}, packed, panel, false, g + column, wide);
    }
  });
  return g_OI;
}

}  // namespace masbak::models

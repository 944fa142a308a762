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
#include <mutex>
#include <new>

#include "models/kernels/cpu/matrix.h"

namespace masbak::models {
namespace {

using kernels::kPanel;
using T = c10::BFloat16;

constexpr int64_t kNarrow = 64;
constexpr int64_t kDeepest = 2048;                   // numbers of the depth that are taken at once
constexpr int64_t kDeepPart = 1024;                  // of a deeper product, part by part
constexpr int64_t kRowBlock = 48;                    // rows whose sums of a panel stay in the first cache
constexpr int64_t kRowUnit = 6;                      // rows that the kernels take at once
constexpr int64_t kRowStep = 12;                     // rows between which lines are fetched ahead
constexpr int64_t kPanelsPerThread = 12;             // panels a thread from which on each takes its own
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

float* prepared_room(int64_t numbers) {
  thread_local Scratch<float> scratch;
  return scratch.room(numbers);
}

float* sums_room(int64_t numbers) {
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

// A part of a matrix that is packed next: its lines are fetched while something else is multiplied. Memory is idle
// then, and packing what is not in a cache takes five times as long.
class Ahead {
 public:
  Ahead() = default;
  Ahead(const T* data, int64_t rows, int64_t numbers, int64_t stride)
      : row_(reinterpret_cast<const char*>(data)), rows_(rows), stride_(stride * static_cast<int64_t>(sizeof(T))) {
    // A weight in a file begins anywhere in a line.
    const auto before = static_cast<int64_t>(reinterpret_cast<uintptr_t>(data) % kLine);
    row_ -= before;
    lines_ = (before + numbers * static_cast<int64_t>(sizeof(T)) + kLine - 1) / kLine;
  }

  int64_t lines() const { return rows_ * lines_; }
  void fetch(int64_t count) {
    for (; count > 0 && rows_ > 0; --count) {
      __builtin_prefetch(row_ + line_ * kLine, 0, kSecondCache);
      if (++line_ == lines_) line_ = 0, row_ += stride_, --rows_;
    }
  }

 private:
  static constexpr int64_t kLine = 64;
  static constexpr int kSecondCache = 2;
  const char* row_ = nullptr;
  int64_t rows_ = 0, stride_ = 0, lines_ = 0, line_ = 0;
};

// W as it lies: rows [O, I], or columns.
struct Right {
  explicit Right(const at::Tensor& w_OI)
      : data(w_OI.const_data_ptr<T>()), as_rows(in_rows(w_OI)), stride(w_OI.stride(as_rows ? 0 : 1)) {}

  // Outputs [column, column + count) of the depth [k, k + depth).
  void pack(int64_t k, int64_t depth, int64_t column, int64_t count, T* to) const {
    const auto& table = kernels::matrix_kernels<T>();
    if (as_rows) {
      table.pack_transposed(depth, count, data + column * stride + k, stride, to);
    } else {
      table.pack(depth, count, data + column + k * stride, stride, to);
    }
  }

  Ahead ahead(int64_t k, int64_t depth, int64_t column, int64_t count) const {
    return as_rows ? Ahead(data + column * stride + k, count, depth, stride)
                   : Ahead(data + column + k * stride, depth, count, stride);
  }

  const T* data;
  bool as_rows;
  int64_t stride;
};

// One product with its tensors taken apart. A deep one is cut into parts of kDeepPart; h and B belong to the last.
class Product {
 public:
  Product(const ProductTerms& terms, double scale, bool add)
      : rows(terms.x_TI.size(0)),
        columns(terms.w_OI.size(0)),
        depth(terms.x_TI.size(1)),
        rank(terms.h_TR.defined() ? terms.h_TR.size(1) : 0),
        most(depth > kDeepest ? kDeepPart : std::max<int64_t>(depth, 1)),
        x_(terms.x_TI.const_data_ptr<T>()),
        h_(rank > 0 ? terms.h_TR.const_data_ptr<T>() : nullptr),
        x_stride_(terms.x_TI.stride(0)),
        h_stride_(rank > 0 ? terms.h_TR.stride(0) : 0),
        w_(terms.w_OI),
        b_(rank > 0 ? terms.b_OR : terms.w_OI),
        bias_(terms.bias_O.defined() ? terms.bias_O.const_data_ptr<T>() : nullptr),
        y_(terms.y_TO.mutable_data_ptr<T>()),
        y_stride_(terms.y_TO.stride(0)),
        scale_(static_cast<float>(scale)),
        add_(add) {}

  int64_t panels() const { return (columns + kPanel - 1) / kPanel; }
  int64_t numbers() const { return rows * columns * (depth + rank); }
  bool deep() const { return depth > kDeepest; }
  // Numbers that the packed columns of one panel take, of the widest part of the depth.
  int64_t panel_room() const { return kernels::panel_size<T>(most) + kernels::panel_size<T>(rank); }
  // How many panels take so many bytes.
  int64_t panels_within(int64_t packed_bytes) const {
    const int64_t bytes = (most + rank) * kPanel * kernels::matrix_kernels<T>().packed_bytes;
    return std::max<int64_t>(1, packed_bytes / std::max<int64_t>(1, bytes));
  }
  // That leave room in the second cache for the rows that pass over them and for the part of W that is fetched ahead.
  int64_t panels_at_once() const { return panels_within(1 << 18); }
  // That a thread takes, or packs with others, before it looks for more.
  int64_t panels_in_turn() const { return panels_within(1 << 20); }

  int64_t part(int64_t k) const { return std::min(most, depth - k); }
  // Rows that are prepared at once: what the third cache holds easily, enough for packing W again to be little work.
  int64_t rows_at_once() const {
    return std::max(kFewestRows, kWideNumbers / (most + rank + 1) / kRowBlock * kRowBlock);
  }
  // Panels whose sums are kept from one part of the depth to the next: as many numbers.
  int64_t panels_of_sums(int64_t row_count) const {
    return deep() ? std::max<int64_t>(1, kWideNumbers / (row_count * kPanel)) : panels();
  }

  // W and B of panel `index` and of the part of the depth from k on.
  void pack(int64_t index, int64_t k, T* to) const {
    const int64_t column = index * kPanel, count = std::min(kPanel, columns - column);
    w_.pack(k, part(k), column, count, to);
    if (joined(k) > 0) b_.pack(0, rank, column, count, to + kernels::panel_size<T>(part(k)));
  }
  // What pack reads of panels [first, last).
  Ahead ahead(int64_t first, int64_t last, int64_t k) const {
    const int64_t column = first * kPanel;
    return w_.ahead(k, part(k), column, std::min(columns, last * kPanel) - column);
  }
  // How far packed panels of that part are apart.
  int64_t packed_panel(int64_t k) const { return kernels::panel_size<T>(part(k)) + kernels::panel_size<T>(joined(k)); }
  // Rows [begin, end) of x as the kernels want them, or null where that is as they lie: the depth [from, to), behind it
  // h where that is the last. In this thread's room until it prepares the next. `from` is a multiple of kScaledDepth,
  // as the parts of the depth are.
  struct Prepared {
    const float* data = nullptr;
    int64_t stride = 0, from = 0, h_place = 0;
  };
  static_assert(kDeepPart % kernels::kScaledDepth == 0);
  Prepared prepare(int64_t begin, int64_t end, int64_t from, int64_t to) const {
    const auto& table = kernels::matrix_kernels<T>();
    if (table.prepare == nullptr) return {};
    const int64_t extra = to == depth ? rank : 0, h_place = (table.prepared_size(to - from) + 15) / 16 * 16;
    // An odd number of cache lines apart, so that a column of them does not fall into a few places of the first cache.
    const int64_t stride = ((h_place + table.prepared_size(extra) + 15) / 16 | 1) * 16;
    float* data = prepared_room((end - begin) * stride);
    table.prepare(end - begin, to - from, x_ + begin * x_stride_ + from, x_stride_, data, stride);
    if (extra > 0) table.prepare(end - begin, extra, h_ + begin * h_stride_, h_stride_, data + h_place, stride);
    return {data, stride, from, h_place};
  }

  // Rows [begin, end), which are `prepared`, times packed panels [first, last), which lie one behind the other. `sums`,
  // where the product is deep: of the rows from `begin` and the columns from the first panel's on, over the parts
  // before k. `ahead` is fetched meanwhile, a few lines at a time: more would wait for each other.
  void multiply(int64_t begin, int64_t end, const Prepared& prepared, int64_t first, int64_t last, int64_t k,
                const T* packed, float* sums, int64_t sums_stride, Ahead ahead) const {
    const auto& table = kernels::matrix_kernels<T>();
    const int64_t steps = (last - first) * ((end - begin + kRowStep - 1) / kRowStep);
    const int64_t lines = (ahead.lines() + steps - 1) / std::max<int64_t>(1, steps);
    const int64_t size = part(k), extra = joined(k), b_place = kernels::panel_size<T>(size), panel = packed_panel(k);
    const int64_t place = prepared.data != nullptr ? table.prepared_size(k - prepared.from) : 0;
    alignas(64) float room[kRowBlock * kPanel];
    for (int64_t row = begin; row < end; row += kRowBlock) {
      const int64_t count = std::min(kRowBlock, end - row);
      const float* ready = prepared.data + (row - begin) * prepared.stride;
      for (int64_t index = first; index < last; ++index) {
        const int64_t column = index * kPanel, width = std::min(kPanel, columns - column);
        const T* right = packed + (index - first) * panel;
        float* to = deep() ? sums + (row - begin) * sums_stride + (index - first) * kPanel : room;
        const int64_t to_stride = deep() ? sums_stride : kPanel;
        const auto add_part = [&](const T* x, int64_t stride, int64_t place, int64_t numbers, const T* with, bool add) {
          for (int64_t r = 0; r < count; r += kRowStep) {
            const int64_t some = std::min(kRowStep, count - r);
            if (prepared.data != nullptr) {
              table.multiply_prepared(some, width, numbers, ready + r * prepared.stride + place, prepared.stride, with,
                                      kernels::panel_size<T>(numbers), add, to + r * to_stride, to_stride);
            } else {
              table.multiply(some, width, numbers, {x + r * stride, stride}, with, kernels::panel_size<T>(numbers), add,
                             to + r * to_stride, to_stride);
            }
            if (with == right) ahead.fetch(lines);
          }
        };
        add_part(x_ + row * x_stride_ + k, x_stride_, place, size, right, k > 0);
        if (extra > 0) add_part(h_ + row * h_stride_, h_stride_, prepared.h_place, extra, right + b_place, true);
        if (!is_last(k)) continue;
        const T* bias = bias_ != nullptr ? bias_ + column : nullptr;
        table.round_to(count, width, to, to_stride, bias, scale_, add_, y_ + row * y_stride_ + column, y_stride_);
      }
    }
  }

  const int64_t rows, columns, depth, rank;
  const int64_t most;  // of the depth, in a part

 private:
  static constexpr int64_t kWideNumbers = int64_t{1} << 20, kFewestRows = 240;

  bool is_last(int64_t k) const { return k + most >= depth; }
  int64_t joined(int64_t k) const { return is_last(k) ? rank : 0; }

  const T *x_, *h_;
  const int64_t x_stride_, h_stride_;
  const Right w_, b_;
  const T* bias_;
  T* y_;
  const int64_t y_stride_;
  const float scale_;
  const bool add_;
};

// Panels [first, last) by one thread, which goes on with `next` where there is one. Of a deep product one part of the
// depth is taken after another, with all rows and panels, so that neither factor comes from memory a second time.
void multiply_panels(const Product& product, int64_t first, int64_t last, const Product* next = nullptr) {
  const int64_t at_once = product.panels_at_once(), rows_at_once = product.rows_at_once();
  const auto ahead_of = [&](int64_t begin, int64_t end, int64_t k) {
    return product.ahead(begin, std::min(end, begin + at_once), k);
  };
  for (int64_t row = 0; row < product.rows; row += rows_at_once) {
    const int64_t row_end = std::min(product.rows, row + rows_at_once);
    const int64_t of_sums = product.panels_of_sums(row_end - row);
    for (int64_t from = first; from < last; from += of_sums) {
      const int64_t to = std::min(last, from + of_sums), sums_stride = (to - from) * kPanel;
      float* sums = product.deep() ? sums_room((row_end - row) * sums_stride) : nullptr;
      T* packed = packed_room(std::min(at_once, to - from) * product.panel_room());
      for (int64_t k = 0; k == 0 || k < product.depth; k += product.most) {
        const int64_t apart = product.packed_panel(k), after = k + product.part(k);
        const Product::Prepared prepared = product.prepare(row, row_end, k, after);
        for (int64_t begin = from; begin < to; begin += at_once) {
          const int64_t end = std::min(to, begin + at_once);
          for (int64_t index = begin; index < end; ++index) product.pack(index, k, packed + (index - begin) * apart);
          Ahead ahead;
          if (end < to) {
            ahead = ahead_of(end, to, k);
          } else if (after < product.depth) {
            ahead = ahead_of(from, to, after);
          } else if (to < last) {
            ahead = ahead_of(to, last, 0);
          } else if (row_end < product.rows) {
            ahead = ahead_of(first, last, 0);
          } else if (next != nullptr) {
            ahead = next->ahead(0, std::min(next->panels(), next->panels_at_once()), 0);
          }
          float* own = sums != nullptr ? sums + (begin - from) * kPanel : nullptr;
          product.multiply(row, row_end, prepared, begin, end, k, packed, own, sums_stride, ahead);
        }
      }
    }
  }
}

// All of a product by all threads: they pack some panels together and then divide the rows.
void multiply_together(const Product& product) {
  const int64_t panels = product.panels(), threads = at::in_parallel_region() ? 1 : at::get_num_threads();
  const int64_t at_once = std::min(panels, product.panels_in_turn() * threads);
  const int64_t sums_stride = at_once * kPanel;
  const at::Tensor sums =
      product.deep() ? at::empty({product.rows, sums_stride}, at::TensorOptions().dtype(at::kFloat)) : at::Tensor();
  for (int64_t begin = 0; begin < panels; begin += at_once) {
    const int64_t end = std::min(panels, begin + at_once);
    T* packed = packed_room(at_once * product.panel_room());
    for (int64_t k = 0; k == 0 || k < product.depth; k += product.most) {
      const int64_t apart = product.packed_panel(k);
      at::parallel_for(begin, end, grain(16 * kPanel * product.depth), [&](int64_t first, int64_t last) {
        for (int64_t index = first; index < last; ++index) product.pack(index, k, packed + (index - begin) * apart);
      });
      const int64_t units = (product.rows + kRowUnit - 1) / kRowUnit, size = product.part(k);
      at::parallel_for(0, units, grain(kRowUnit * size * kPanel * (end - begin)), [&](int64_t first, int64_t last) {
        const int64_t row_end = std::min(product.rows, last * kRowUnit);
        for (int64_t row = first * kRowUnit; row < row_end; row += kRowBlock) {
          const int64_t next = std::min(row_end, row + kRowBlock);
          product.multiply(row, next, product.prepare(row, next, k, k + size), begin, end, k, packed,
                           sums.defined() ? sums.mutable_data_ptr<float>() + row * sums_stride : nullptr, sums_stride,
                           {});
        }
      });
    }
  }
}

// Hands the panels of several products to threads, many first and then fewer, so that all end at about the same time.
class Panels {
 public:
  Panels(const std::vector<Product>& products, int64_t threads) : products_(products), threads_(threads) {
    for (const Product& product : products) left_ += product.numbers();
  }
  struct Some {
    const Product* product = nullptr;  // null: nothing is left
    int64_t first = 0, last = 0;
  };
  Some take() {
    const std::lock_guard lock(mutex_);
    while (index_ < products_.size() && panel_ == products_[index_].panels()) ++index_, panel_ = 0;
    if (index_ == products_.size()) return {};
    const Product& product = products_[index_];
    const int64_t panels = product.panels(),
                  each = std::max<int64_t>(1, product.numbers() / std::max<int64_t>(1, panels));
    const int64_t most = std::min(panels - panel_, product.panels_in_turn());
    const int64_t count = std::clamp<int64_t>(left_ / (2 * threads_ * each), 1, most);
    const Some some{&product, panel_, panel_ + count};
    panel_ += count;
    left_ -= count * each;
    return some;
  }

 private:
  const std::vector<Product>& products_;
  const int64_t threads_;
  std::mutex mutex_;
  int64_t left_ = 0;  // products of numbers
  size_t index_ = 0;
  int64_t panel_ = 0;
};

}  // namespace

bool sizes_are_free() {
  static const bool free = kernels::best_isa() >= kernels::Isa::kAvx2 && !has_tile_units();
  return free;
}

int64_t fewest_product_rows() {
  static const int64_t fewest = kernels::best_isa() >= kernels::Isa::kAvx512 ? 24 : 3;
  return fewest;
}

int64_t fewest_free_rows() { return kernels::best_isa() >= kernels::Isa::kAvx512 ? fewest_product_rows() : 1; }

bool takes_product(const at::Tensor& x_TI, const at::Tensor& w_OI) {
  if (!on_cpu(x_TI) || !on_cpu(w_OI) || x_TI.dim() != 2 || w_OI.dim() != 2 || !in_rows(x_TI)) return false;
  if (!in_rows(w_OI) && !in_rows(w_OI.t())) return false;
  const bool narrow = std::min(w_OI.size(0), w_OI.size(1)) <= kNarrow;
  return narrow || (x_TI.size(0) >= fewest_product_rows() && sizes_are_free());
}

bool takes_terms(const ProductTerms& terms) {
  return takes_product(terms.x_TI, terms.w_OI) && on_cpu(terms.y_TO) && in_rows(terms.y_TO) &&
         (!terms.h_TR.defined() || takes_product(terms.h_TR, terms.b_OR)) &&
         (!terms.bias_O.defined() || (on_cpu(terms.bias_O) && terms.bias_O.is_contiguous()));
}

void matrix_products(const std::vector<ProductTerms>& terms, double scale, bool add) {
  std::vector<Product> products;
  int64_t panels = 0, numbers = 0;
  for (const ProductTerms& one : terms) {
    products.emplace_back(one, scale, add);
    panels += products.back().panels();
    numbers += products.back().numbers();
  }
  const int64_t threads =
      at::in_parallel_region() ? 1 : std::min<int64_t>(at::get_num_threads(), numbers / kGrainNumbers);
  if (threads > 1 && panels < kPanelsPerThread * threads) {
    for (const Product& product : products) multiply_together(product);
    return;
  }
  if (threads <= 1) {
    for (size_t i = 0; i < products.size(); ++i) {
      multiply_panels(products[i], 0, products[i].panels(), i + 1 < products.size() ? &products[i + 1] : nullptr);
    }
    return;
  }
  Panels left(products, threads);
  at::parallel_for(0, threads, 1, [&](int64_t, int64_t) {
    for (auto some = left.take(); some.product; some = left.take()) {
      multiply_panels(*some.product, some.first, some.last);
    }
  });
}

void matrix_product(const at::Tensor& x_TI, const at::Tensor& w_OI, double scale, bool add, at::Tensor& y_TO) {
  matrix_products({{y_TO, x_TI, w_OI}}, scale, add);
}

at::Tensor matrix_product(const at::Tensor& x_TI, const at::Tensor& w_OI) {
  at::Tensor y_TO = at::empty({x_TI.size(0), w_OI.size(0)}, x_TI.options());
  matrix_product(x_TI, w_OI, 1, false, y_TO);
  return y_TO;
}

void multiply_into(at::Tensor& y_TO, const at::Tensor& x_TI, const at::Tensor& w_OI) {
  const at::NoGradGuard no_grad;
  if (takes_terms({y_TO, x_TI, w_OI})) {
    matrix_product(x_TI, w_OI, 1, false, y_TO);
  } else {
    at::mm_out(y_TO, x_TI, w_OI.t());
  }
}

void add_product_into(at::Tensor& y_TO, const at::Tensor& x_TI, const at::Tensor& w_OI, double scale) {
  const at::NoGradGuard no_grad;
  if (takes_terms({y_TO, x_TI, w_OI})) {
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
  const auto& table = kernels::matrix_kernels<T>(kernels::best_isa(), kernels::fastest_exact_way());
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

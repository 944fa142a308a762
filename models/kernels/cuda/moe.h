// Mixture of experts: which rows go to which expert, rows to the experts and back. kernels.h says what each computes.
#pragma once

#include "models/kernels/cuda/grid.h"

namespace masbak::models::cuda {

MASBAK_DEVICE int64_t sort_tiles(const SortByExpert& a) { return (a.pairs + kSortTile - 1) / kSortTile; }

MASBAK_DEVICE bool has_expert(const SortByExpert& a, int64_t pair) {
  return pair < a.pairs && a.chosen[pair] >= 0 && a.chosen[pair] < a.experts;
}

// First step, a block a tile of pairs: workspace[tile, e] = pairs of the tile that go to e. All rows get token 0.
struct CountExperts {
  static constexpr int kThreads = kSortTile;

  template <typename Block>
  static MASBAK_DEVICE void run(Block& block, const SortByExpert& a) {
    auto* counts = block.template shared<int32_t>(0);
    const int64_t tiles = sort_tiles(a);
    block.each([&](int thread) {
      for (int64_t row = block.x() * kThreads + thread; row < a.capacity; row += block.x_count() * kThreads) {
        a.token_of_row[row] = 0;
      }
    });
    for (int64_t tile = block.x(); tile < tiles; tile += block.x_count()) {
      block.each([&](int thread) {
        for (int64_t e = thread; e < a.experts; e += kThreads) counts[e] = 0;
      });
      block.each([&](int thread) {
        const int64_t pair = tile * kSortTile + thread;
        if (has_expert(a, pair)) block.add_to(&counts[a.chosen[pair]], 1);
      });
      block.each([&](int thread) {
        for (int64_t e = thread; e < a.experts; e += kThreads) a.workspace[tile * a.experts + e] = counts[e];
      });
    }
  }
};

// Second step, one block: the counts become each tile's first row of each expert, and offsets are filled in.
struct PlaceExperts {
  static constexpr int kThreads = 256;

  template <typename Block>
  static MASBAK_DEVICE void run(Block& block, const SortByExpert& a) {
    const int64_t tiles = sort_tiles(a), each_thread = (a.experts + kThreads - 1) / kThreads;
    int32_t* totals = a.workspace + tiles * a.experts;
    auto* before = block.template shared<int32_t>(0);  // rows of the experts before a thread's
    block.each([&](int thread) {
      for (int64_t e = thread; e < a.experts; e += kThreads) {
        int64_t total = 0;
        for (int64_t tile = 0; tile < tiles; ++tile) {
          const int32_t count = a.workspace[tile * a.experts + e];
          a.workspace[tile * a.experts + e] = static_cast<int32_t>(total);
          total += count;
        }
        totals[e] = static_cast<int32_t>((total + a.multiple - 1) / a.multiple * a.multiple);
      }
    });
    block.each([&](int thread) {
      int32_t rows = 0;
      for (int64_t e = thread * each_thread; e < (thread + 1) * each_thread && e < a.experts; ++e) rows += totals[e];
      before[thread] = rows;
    });
    block.each([&](int thread) {
      if (thread != 0) return;
      int32_t rows = 0;
      for (int i = 0; i < kThreads; ++i) {
        const int32_t own = before[i];
        before[i] = rows;
        rows += own;
      }
      a.offsets[a.experts] = rows;
    });
    block.each([&](int thread) {
      int32_t rows = before[thread];
      for (int64_t e = thread * each_thread; e < (thread + 1) * each_thread && e < a.experts; ++e) {
        a.offsets[e] = rows;
        rows += totals[e];
      }
    });
  }
};

// Third step, a block a tile: a pair's row is its expert's first, and those of earlier tiles and of earlier pairs of
// the tile. Counting these by looking at each is 256 reads of shared memory at most, which all threads make together.
struct PlacePairs {
  static constexpr int kThreads = kSortTile;

  template <typename Block>
  static MASBAK_DEVICE void run(Block& block, const SortByExpert& a) {
    auto* expert_of = block.template shared<int32_t>(0);
    for (int64_t tile = block.x(); tile < sort_tiles(a); tile += block.x_count()) {
      block.each([&](int thread) {
        const int64_t pair = tile * kSortTile + thread;
        expert_of[thread] = has_expert(a, pair) ? static_cast<int32_t>(a.chosen[pair]) : -1;
      });
      block.each([&](int thread) {
        const int64_t pair = tile * kSortTile + thread;
        const int32_t expert = expert_of[thread];
        if (expert < 0) {
          if (pair < a.pairs) a.row_of_pair[pair] = -1;
          return;
        }
        int32_t row = a.offsets[expert] + a.workspace[tile * a.experts + expert];
        for (int earlier = 0; earlier < thread; ++earlier) row += expert_of[earlier] == expert;
        a.row_of_pair[pair] = row;
        a.token_of_row[row] = static_cast<int32_t>(pair / a.per_token);
      });
    }
  }
};

template <typename T, int kWide>
struct GatherRowsBody {
  static constexpr int kThreads = 128;

  template <typename Block>
  static MASBAK_DEVICE void run(Block& block, const GatherRows& a) {
    const auto* x = static_cast<const T*>(a.x);
    auto* out = static_cast<T*>(a.out);
    for (int64_t row = block.x(); row < a.rows; row += block.x_count()) {
      const int64_t from = a.row_of[row];
      const bool there = from >= 0 && from < a.x_rows;
      block.each([&](int thread) {
        for (int64_t i = thread * kWide; i < a.size; i += kThreads * kWide) {
          Pack<T, kWide> pack{};  // zeros, in each of the types
          if (there) pack = load<kWide>(x + from * a.x_stride + i);
          store<kWide>(out + row * a.size + i, pack);
        }
      });
    }
  }
};

template <typename T, int kWide>
struct SumRowsBody {
  static constexpr int kThreads = 128;

  template <typename Block>
  static MASBAK_DEVICE void run(Block& block, const SumRows& a) {
    const auto* y = static_cast<const T*>(a.y);
    auto* out = static_cast<T*>(a.out);
    for (int64_t token = block.x(); token < a.tokens; token += block.x_count()) {
      block.each([&](int thread) {
        for (int64_t i = thread * kWide; i < a.size; i += kThreads * kWide) {
          float sum[kWide] = {};
          for (int64_t k = 0; k < a.count; ++k) {
            const int64_t row = a.rows_of[token * a.count + k];
            if (row < 0 || row >= a.y_rows) continue;
            const float weight = a.weights ? a.weights[token * a.count + k] : 1.0F;
            const Pack<T, kWide> pack = load<kWide>(y + row * a.y_stride + i);
            for (int j = 0; j < kWide; ++j) sum[j] += weight * to_float(pack.at[j]);
          }
          Pack<T, kWide> pack;
          for (int j = 0; j < kWide; ++j) from_float(sum[j], pack.at[j]);
          store<kWide>(out + token * a.size + i, pack);
        }
      });
    }
  }
};

template <typename T, int kWide>
struct SumRowsBackwardBody {
  static constexpr int kThreads = 128;

  template <typename Block>
  static MASBAK_DEVICE void run(Block& block, const SumRowsBackward& a) {
    const auto* dout = static_cast<const T*>(a.dout);
    const auto* y = static_cast<const T*>(a.y);
    auto* dy = static_cast<T*>(a.dy);
    auto part = block.template per_thread<float>();
    for (int64_t pair = block.x(); pair < a.tokens * a.count; pair += block.x_count()) {
      const int64_t token = pair / a.count, row = a.rows_of[pair];
      const bool there = row >= 0 && row < a.y_rows;
      const float weight = a.weights[pair];
      block.each([&](int thread) {
        part[thread] = 0;
        for (int64_t i = thread * kWide; there && i < a.size; i += kThreads * kWide) {
          const Pack<T, kWide> d = load<kWide>(dout + token * a.dout_stride + i);
          Pack<T, kWide> pack;
          for (int j = 0; j < kWide; ++j) from_float(weight * to_float(d.at[j]), pack.at[j]);
          store<kWide>(dy + row * a.size + i, pack);
          if (!a.dweights) continue;
          const Pack<T, kWide> against = load<kWide>(y + row * a.y_stride + i);
          for (int j = 0; j < kWide; ++j) part[thread] += to_float(d.at[j]) * to_float(against.at[j]);
        }
      });
      if (!a.dweights) continue;
      const float dot = block.sum(part);
      block.each([&](int thread) {
        if (thread == 0) a.dweights[pair] = dot;
      });
    }
  }
};

// Runs Body over `rows` for a.type: its 16-byte form where wide(bytes of a number) says that all of it is aligned, else
// the form for single numbers. `unknown` is the error of a type that there is not.
template <template <typename, int> class Body, typename Launcher, typename Arguments, typename Wide>
const char* launch_rows(const Arguments& a, void* stream, int64_t rows, const Wide& wide, const char* unknown) {
  Launcher launcher(stream);
  const bool known = with_type(a.type, [&](auto number) {
    using T = decltype(number);
    const Grid grid{blocks_for(rows)};
    if (wide(static_cast<int64_t>(sizeof(T)))) {
      launcher.template run<Body<T, 16 / sizeof(T)>>(grid, 0, a);
    } else {
      launcher.template run<Body<T, 1>>(grid, 0, a);
    }
  });
  return known ? launcher.error() : unknown;
}

// Whether rows that begin at x, so many bytes apart, are read in pieces of 16 bytes.
inline bool rows_are_aligned(const void* x, int64_t stride_bytes) {
  return is_aligned(x, 16) && stride_bytes % 16 == 0;
}

template <typename Launcher>
const char* launch_sort(const SortByExpert& a, void* stream) {
  if (a.pairs < 0 || a.per_token < 1 || a.experts < 1 || a.experts > kMostExperts || a.multiple < 1) {
    return "sort_by_expert: expected pairs >= 0, per_token >= 1, multiple >= 1 and 1 to 8192 experts";
  }
  if (a.capacity < a.pairs + a.experts * (a.multiple - 1) || a.capacity > INT32_MAX) {
    return "sort_by_expert: capacity must hold pairs + experts * (multiple - 1) rows, and fit in 31 bits";
  }
  Launcher launcher(stream);
  const int64_t tiles = (a.pairs + kSortTile - 1) / kSortTile;
  const int64_t blocks = tiles > 0 ? blocks_for(tiles) : 1;
  launcher.template run<CountExperts>(Grid{blocks}, a.experts * static_cast<int64_t>(sizeof(int32_t)), a);
  launcher.template run<PlaceExperts>(Grid{}, PlaceExperts::kThreads * static_cast<int64_t>(sizeof(int32_t)), a);
  if (tiles > 0) {
    launcher.template run<PlacePairs>(Grid{blocks}, kSortTile * static_cast<int64_t>(sizeof(int32_t)), a);
  }
  return launcher.error();
}

template <typename Launcher>
const char* launch_gather(const GatherRows& a, void* stream) {
  if (a.rows < 0 || a.size < 0 || (a.x_rows > 1 && a.x_stride < a.size)) {
    return "gather_rows: sizes must not be negative, and rows of x not overlap";
  }
  if (a.rows == 0 || a.size == 0) return nullptr;
  const auto wide = [&a](int64_t bytes) {
    return rows_are_aligned(a.x, a.x_stride * bytes) && rows_are_aligned(a.out, a.size * bytes);
  };
  return launch_rows<GatherRowsBody, Launcher>(a, stream, a.rows, wide, "gather_rows: unknown type");
}

template <typename Launcher>
const char* launch_sum(const SumRows& a, void* stream) {
  if (a.tokens < 0 || a.size < 0 || a.count < 0 || (a.y_rows > 1 && a.y_stride < a.size)) {
    return "sum_rows: sizes must not be negative, and rows of y not overlap";
  }
  if (a.tokens == 0 || a.size == 0) return nullptr;
  const auto wide = [&a](int64_t bytes) {
    return rows_are_aligned(a.y, a.y_stride * bytes) && rows_are_aligned(a.out, a.size * bytes);
  };
  return launch_rows<SumRowsBody, Launcher>(a, stream, a.tokens, wide, "sum_rows: unknown type");
}

template <typename Launcher>
const char* launch_sum_backward(const SumRowsBackward& a, void* stream) {
  if (a.tokens < 0 || a.size < 0 || a.count < 0 || (a.tokens > 1 && a.dout_stride < a.size) || !a.weights) {
    return "sum_rows_backward: sizes must not be negative, rows of dout not overlap, and weights be given";
  }
  if (a.dweights && (!a.y || (a.y_rows > 1 && a.y_stride < a.size))) {
    return "sum_rows_backward: dweights need y, with rows that do not overlap";
  }
  if (a.tokens == 0 || a.count == 0) return nullptr;
  const auto wide = [&a](int64_t bytes) {
    return (!a.dweights || rows_are_aligned(a.y, a.y_stride * bytes)) &&
           rows_are_aligned(a.dout, a.dout_stride * bytes) && rows_are_aligned(a.dy, a.size * bytes);
  };
  return launch_rows<SumRowsBackwardBody, Launcher>(a, stream, a.tokens * a.count, wide,
                                                    "sum_rows_backward: unknown type");
}

template <typename Launcher>
void add_moe(KernelTable& table) {
  table.sort_by_expert = launch_sort<Launcher>;
  table.gather_rows = launch_gather<Launcher>;
  table.sum_rows = launch_sum<Launcher>;
  table.sum_rows_backward = launch_sum_backward<Launcher>;
}

}  // namespace masbak::models::cuda

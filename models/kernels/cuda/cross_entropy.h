// Cross entropy of a chunk of logits, its gradient in place. See kernels.h, CrossEntropy.
#pragma once

#include "models/kernels/cuda/grid.h"

namespace masbak::models::cuda {

// A block a row: once through the logits for the largest and the sum of the exponentials, a second time for the
// gradient. The row of a vocabulary of 128,000 is 256 KB in bfloat16, which the second pass finds in the L2 cache.
template <typename T, int kWide>
struct CrossEntropyBody {
  static constexpr int kThreads = 256;

  template <typename Block>
  static MASBAK_DEVICE void run(Block& block, const CrossEntropy& a) {
    auto largest = block.template per_thread<float>();
    auto sum = block.template per_thread<float>();
    for (int64_t n = block.x(); n < a.rows; n += block.x_count()) {
      T* row = static_cast<T*>(a.logits) + n * a.stride;
      const int64_t target = a.targets[n];
      if (target == a.ignore_index) {
        skip(block, a, row, n);
        continue;
      }
      block.each([&](int thread) { read_share(a, row, thread, largest[thread], sum[thread]); });
      const float top = block.largest(largest);
      block.each([&](int thread) {
        sum[thread] *= largest[thread] == -infinity() ? 0.0F : exponential(largest[thread] - top);
      });
      const bool known = target >= 0 && target < a.size;
      const float log_sum = known ? top + logarithm(block.sum(sum)) : not_a_number();
      block.each([&](int thread) {
        if (thread == 0) a.losses[n] = known ? log_sum - to_float(row[target]) : not_a_number();
      });
      if (!a.gradient) continue;
      block.each([&](int thread) {
        for (int64_t i = thread * kWide; i < a.size; i += kThreads * kWide) {
          Pack<T, kWide> pack = load<kWide>(row + i);
          for (int j = 0; j < kWide; ++j) {
            const float share = exponential(to_float(pack.at[j]) - log_sum);
            from_float(a.scale * (i + j == target ? share - 1.0F : share), pack.at[j]);
          }
          store<kWide>(row + i, pack);
        }
      });
    }
  }

 private:
  // The largest of a thread's logits and the sum of exp(logit - largest).
  static MASBAK_DEVICE void read_share(const CrossEntropy& a, const T* row, int thread, float& largest, float& sum) {
    largest = -infinity();
    sum = 0;
    for (int64_t i = thread * kWide; i < a.size; i += kThreads * kWide) {
      const Pack<T, kWide> pack = load<kWide>(row + i);
      for (int j = 0; j < kWide; ++j) {
        const float logit = to_float(pack.at[j]);
        if (logit == -infinity()) continue;
        if (logit > largest) {
          sum = sum * exponential(largest - logit) + 1.0F;
          largest = logit;
        } else {
          sum += exponential(logit - largest);
        }
      }
    }
  }

  template <typename Block>
  static MASBAK_DEVICE void skip(Block& block, const CrossEntropy& a, T* row, int64_t n) {
    block.each([&](int thread) {
      if (thread == 0) a.losses[n] = 0;
      for (int64_t i = thread * kWide; a.gradient && i < a.size; i += kThreads * kWide) {
        store<kWide>(row + i, Pack<T, kWide>{});
      }
    });
  }
};

// The sum of the losses, one block.
struct SumLosses {
  static constexpr int kThreads = 256;

  template <typename Block>
  static MASBAK_DEVICE void run(Block& block, const CrossEntropy& a) {
    auto part = block.template per_thread<double>();
    block.each([&](int thread) {
      part[thread] = 0;
      for (int64_t n = thread; n < a.rows; n += kThreads) part[thread] += static_cast<double>(a.losses[n]);
    });
    const double sum = block.sum(part);
    block.each([&](int thread) {
      if (thread == 0) *a.sum = sum;
    });
  }
};

template <typename Launcher>
const char* launch_cross_entropy(const CrossEntropy& a, void* stream) {
  if (a.rows < 0 || a.size < 1 || (a.rows > 1 && a.stride < a.size)) {
    return "cross_entropy: expected rows >= 0, size >= 1 and rows that do not overlap";
  }
  Launcher launcher(stream);
  const bool known = with_type(a.type, [&](auto number) {
    using T = decltype(number);
    constexpr int kWide = 16 / sizeof(T);
    const int64_t bytes = sizeof(T);
    if (a.rows > 0) {
      const Grid grid{blocks_for(a.rows)};
      if (is_aligned(a.logits, 16) && a.stride * bytes % 16 == 0 && a.size * bytes % 16 == 0) {
        launcher.template run<CrossEntropyBody<T, kWide>>(grid, 0, a);
      } else {
        launcher.template run<CrossEntropyBody<T, 1>>(grid, 0, a);
      }
    }
    launcher.template run<SumLosses>(Grid{}, 0, a);
  });
  return known ? launcher.error() : "cross_entropy: unknown type";
}

template <typename Launcher>
void add_cross_entropy(KernelTable& table) {
  table.cross_entropy = launch_cross_entropy<Launcher>;
}

}  // namespace masbak::models::cuda

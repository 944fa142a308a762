// Attention of single tokens over paged latents. See kernels.h, LatentDecode.
#pragma once

#include "models/kernels/cuda/grid.h"

namespace masbak::models::cuda {

// Shape letters: H kHeadsPerBlock heads, K kKeys rows looked at together, C = latent + rope.
//
// One block computes H heads of one token over one split. The rows lie in shared memory as float, K at a time, and
// serve all H heads: thread h * K + k makes the score of head h and row k, and then every thread adds up its own
// columns of the latents for all heads, in registers.
template <typename T, int kColumns>
struct LatentDecodeBody {
  static constexpr int kHeads = kHeadsPerBlock, kKeys = 16, kThreads = kHeads * kKeys;

  struct Sums {
    float at[kHeads][kColumns];  // of the columns thread, thread + kThreads, …
  };
  // What of shared memory is used for what. A row of keys is one number longer where C is even, so that the rows that a
  // warp reads together start in different banks.
  struct Shared {
    float *queries_HC, *keys_KC, *weights_HK, *largest_H, *sum_H, *correction_H;
  };
  static constexpr int64_t key_stride(int64_t size) { return size | 1; }
  static constexpr int64_t shared_bytes(int64_t size) {
    return static_cast<int64_t>(sizeof(float)) *
           (kHeads * size + kKeys * key_stride(size) + kHeads * kKeys + 3 * kHeads);
  }

  template <typename Block>
  static MASBAK_DEVICE Shared shared_memory(Block& block, int64_t size) {
    Shared s;
    s.queries_HC = block.template shared<float>(0);
    s.keys_KC = s.queries_HC + kHeads * size;
    s.weights_HK = s.keys_KC + kKeys * (size | 1);
    s.largest_H = s.weights_HK + kHeads * kKeys;
    s.sum_H = s.largest_H + kHeads;
    s.correction_H = s.sum_H + kHeads;
    return s;
  }

  // Row i of the sequence; null where the table names a page that is not there.
  static MASBAK_DEVICE const T* row_of(const LatentDecode& a, int64_t sequence, int64_t i) {
    const int64_t page = a.block_table[sequence * a.table_stride + i / a.page_size];
    if (page < 0 || page >= a.page_count) return nullptr;
    return static_cast<const T*>(a.pages) + page * a.page_stride + i % a.page_size * a.row_stride;
  }

  template <typename Block>
  static MASBAK_DEVICE void load_keys(Block& block, const LatentDecode& a, const Shared& s, int64_t sequence,
                                      int64_t first, int64_t count) {
    const int64_t size = a.latent + a.rope;
    block.each([&](int thread) {
      for (int k = 0; k < kKeys; ++k) {
        const T* row = k < count ? row_of(a, sequence, first + k) : nullptr;
        for (int64_t c = thread; c < size; c += kThreads) {
          s.keys_KC[k * (size | 1) + c] = row ? to_float(row[c]) : (k < count ? not_a_number() : 0.0F);
        }
      }
    });
  }

  // The online softmax (Milakov and Gimelshein 2018): the sums so far are scaled down when a larger score comes.
  template <typename Block>
  static MASBAK_DEVICE void weigh_keys(Block& block, const LatentDecode& a, const Shared& s, int64_t count) {
    const int64_t size = a.latent + a.rope;
    block.each([&](int thread) {
      const float* query = s.queries_HC + thread / kKeys * size;
      const float* key = s.keys_KC + thread % kKeys * (size | 1);
      float dot = 0;
      for (int64_t c = 0; c < size; ++c) dot += query[c] * key[c];
      s.weights_HK[thread] = a.scale * dot;
    });
    block.each([&](int thread) {
      if (thread >= kHeads) return;
      float* weights = s.weights_HK + thread * kKeys;
      float largest = s.largest_H[thread];
      for (int64_t k = 0; k < count; ++k) largest = weights[k] > largest ? weights[k] : largest;
      const float correction = s.sum_H[thread] == 0 ? 0.0F : exponential(s.largest_H[thread] - largest);
      float sum = s.sum_H[thread] * correction;
      for (int k = 0; k < kKeys; ++k) {
        weights[k] = k < count ? exponential(weights[k] - largest) : 0.0F;
        sum += weights[k];
      }
      s.correction_H[thread] = correction;
      s.largest_H[thread] = largest;
      s.sum_H[thread] = sum;
    });
  }

  template <typename Block>
  static MASBAK_DEVICE void run(Block& block, const LatentDecode& a) {
    const int64_t size = a.latent + a.rope, token = block.x(), first_head = block.y() * kHeads, split = block.z();
    const Shared s = shared_memory(block, size);
    const int64_t sequence = a.sequence_of ? a.sequence_of[token] : token;
    const int64_t room = a.table_stride * a.page_size, asked = a.lengths[token] < 0 ? 0 : a.lengths[token];
    const int64_t length = asked < room ? asked : room;
    const int64_t span = ((length + a.splits - 1) / a.splits + kKeys - 1) / kKeys * kKeys;
    const int64_t begin = split * span, end = begin + span < length ? begin + span : length;
    auto sums = block.template per_thread<Sums>();
    block.each([&](int thread) {
      const T* queries = static_cast<const T*>(a.queries) + token * a.query_token_stride;
      for (int64_t i = thread; i < kHeads * size; i += kThreads) {
        const int64_t head = first_head + i / size;
        s.queries_HC[i] = head < a.heads ? to_float(queries[head * a.query_head_stride + i % size]) : 0.0F;
      }
      if (thread < kHeads) {
        s.largest_H[thread] = -infinity();
        s.sum_H[thread] = 0;
      }
      sums[thread] = Sums{};
    });
    for (int64_t first = begin; first < end; first += kKeys) {
      const int64_t count = end - first < kKeys ? end - first : kKeys;
      load_keys(block, a, s, sequence, first, count);
      weigh_keys(block, a, s, count);
      block.each([&](int thread) {
        // The loops over sums are unrolled, so that these stay in registers; that over keys is not, which would take
        // more registers than it saves time.
        MASBAK_UNROLL
        for (int j = 0; j < kColumns; ++j) {
          const int64_t column = thread + j * kThreads;
          const bool there = column < a.latent;
          MASBAK_UNROLL
          for (int h = 0; h < kHeads; ++h) sums[thread].at[h][j] *= s.correction_H[h];
          MASBAK_ROLL
          for (int k = 0; k < kKeys; ++k) {
            const float value = there ? s.keys_KC[k * (size | 1) + column] : 0.0F;
            MASBAK_UNROLL
            for (int h = 0; h < kHeads; ++h) sums[thread].at[h][j] += s.weights_HK[h * kKeys + k] * value;
          }
        }
      });
    }
    block.each([&](int thread) {
      MASBAK_UNROLL
      for (int h = 0; h < kHeads; ++h) {
        if (first_head + h >= a.heads) continue;
        const int64_t part = (token * a.heads + first_head + h) * a.splits + split;
        const float sum = s.sum_H[h];
        MASBAK_UNROLL
        for (int j = 0; j < kColumns; ++j) {
          const int64_t column = thread + j * kThreads;
          if (column < a.latent) a.partial[part * a.latent + column] = sum == 0 ? 0.0F : sums[thread].at[h][j] / sum;
        }
        if (thread == 0) a.partial_log_sums[part] = sum == 0 ? -infinity() : s.largest_H[h] + logarithm(sum);
      }
    });
  }
};

// The splits of one token and head become its result: a mean, weighted by the exponentials of their logarithms.
template <typename T>
struct JoinSplits {
  static constexpr int kThreads = 128;

  template <typename Block>
  static MASBAK_DEVICE void run(Block& block, const LatentDecode& a) {
    const int64_t token = block.x(), head = block.y(), part = (token * a.heads + head) * a.splits;
    const float* log_sums = a.partial_log_sums + part;
    T* out = static_cast<T*>(a.out) + token * a.out_token_stride + head * a.out_head_stride;
    block.each([&](int thread) {
      float largest = -infinity(), sum = 0;
      for (int64_t i = 0; i < a.splits; ++i) largest = log_sums[i] > largest ? log_sums[i] : largest;
      // Of an empty split the logarithm is -infinity, and its share none; a NaN has to stay one.
      const auto share = [&](int64_t i) {
        return log_sums[i] == -infinity() ? 0.0F : exponential(log_sums[i] - largest);
      };
      for (int64_t i = 0; i < a.splits; ++i) sum += share(i);
      for (int64_t column = thread; column < a.latent; column += kThreads) {
        float mean = 0;
        for (int64_t i = 0; i < a.splits; ++i) mean += share(i) * a.partial[(part + i) * a.latent + column];
        from_float(sum == 0 ? 0.0F : mean / sum, out[column]);
      }
      if (thread == 0 && a.log_sums) {
        a.log_sums[token * a.heads + head] = sum == 0 ? -infinity() : largest + logarithm(sum);
      }
    });
  }
};

template <typename Launcher>
const char* launch_latent_decode(const LatentDecode& a, void* stream) {
  const int64_t size = a.latent + a.rope;
  if (a.tokens < 0 || a.heads < 1 || a.latent < 1 || a.rope < 0 || a.page_size < 1 || a.table_stride < 0) {
    return "latent_decode: expected tokens, rope and table_stride >= 0, heads, latent and page_size >= 1";
  }
  if (a.latent > kLargestLatent || size > kLargestRow) {
    return "latent_decode: the latent may have 1024 numbers and a row 1536 at most";
  }
  if (a.splits < 1 || a.splits > kMostSplits || a.heads > kMostAlongYZ || a.tokens > INT32_MAX) {
    return "latent_decode: expected 1 to 64 splits, at most 65535 heads and fewer than 2^31 tokens";
  }
  if (a.row_stride < size || (a.page_count > 1 && a.page_stride < a.page_size * a.row_stride)) {
    return "latent_decode: rows of a page, and pages, must not overlap";
  }
  if (a.tokens == 0) return nullptr;
  Launcher launcher(stream);
  const bool known = with_type(a.type, [&](auto number) {
    using T = decltype(number);
    const Grid grid{a.tokens, (a.heads + kHeadsPerBlock - 1) / kHeadsPerBlock, a.splits};
    if (a.latent <= 512) {
      using Body = LatentDecodeBody<T, 4>;
      launcher.template run<Body>(grid, Body::shared_bytes(size), a);
    } else {
      using Body = LatentDecodeBody<T, 8>;
      launcher.template run<Body>(grid, Body::shared_bytes(size), a);
    }
    launcher.template run<JoinSplits<T>>(Grid{a.tokens, a.heads}, 0, a);
  });
  return known ? launcher.error() : "latent_decode: unknown type";
}

template <typename Launcher>
void add_latent_decode(KernelTable& table) {
  table.latent_decode = launch_latent_decode<Launcher>;
}

}  // namespace masbak::models::cuda

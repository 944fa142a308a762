// What the CUDA kernels compute and how they are called: plain structures and pointers, neither CUDA's headers nor
// LibTorch's. libmasbak_cuda.so fills one KernelTable; the tests fill another one from the same bodies on the CPU.
//
// Every launch function checks its arguments before anything runs, queues its work on `stream` (a cudaStream_t) and
// returns at once: null, or what is wrong (a text that stays valid). All pointers are the device's; all results are
// written whole; nothing is allocated. Sums run in float32, in an order that depends on the sizes alone: two runs give
// the same bits.
//
// "Rows" are numbers of `type`, side by side within a row, `stride` numbers from row to row (at least the row's size;
// rows may not overlap where they are written). Pointers need the alignment of one number; where pointers, strides
// and sizes are multiples of 16 bytes, memory is read and written 16 bytes at a time.
#pragma once

#include <cstdint>

namespace masbak::models::cuda {

enum class Type : int32_t { kFloat32, kBFloat16, kFloat16 };

// The tokens of each expert side by side: a stable counting sort, so that an expert's rows are in the order of the
// tokens. Pair p = token * per_token + k goes to expert chosen[p]. Each expert's rows are filled up to `multiple`;
// rows of no pair get token 0. A pair whose expert is outside [0, experts) gets row -1 and no row: what reads
// rows below takes -1 as "nothing".
struct SortByExpert {
  const int64_t* chosen = nullptr;  // [pairs]
  int64_t pairs = 0, per_token = 1;
  int64_t experts = 0;   // 1 … kMostExperts
  int64_t multiple = 1;  // at least 1
  int64_t capacity = 0;  // rows there is room for, at least pairs + experts * (multiple - 1), below 2^31

  int32_t* offsets = nullptr;       // [experts + 1]; offsets[experts] rows are in use
  int32_t* token_of_row = nullptr;  // [capacity]
  int32_t* row_of_pair = nullptr;   // [pairs]
  int32_t* workspace = nullptr;     // [sort_workspace(pairs, experts)]
};
constexpr int64_t kMostExperts = 8192, kSortTile = 256;
constexpr int64_t sort_workspace(int64_t pairs, int64_t experts) {
  return ((pairs + kSortTile - 1) / kSortTile + 1) * experts;
}

// out[n] = x[row_of[n]], zeros where row_of[n] is outside [0, x_rows). Dispatch: row_of is token_of_row.
struct GatherRows {
  Type type = Type::kFloat32;
  const void* x = nullptr;
  int64_t x_stride = 0, x_rows = 0;
  const int32_t* row_of = nullptr;  // [rows]
  int64_t rows = 0, size = 0;
  void* out = nullptr;  // [rows, size], contiguous
};

// out[t] = sum over k of weights[t, k] * y[rows_of[t, k]], added up in the order of k; a row outside [0, y_rows) adds
// nothing. Combine; with null weights (ones) the way back of dispatch.
struct SumRows {
  Type type = Type::kFloat32;
  const void* y = nullptr;
  int64_t y_stride = 0, y_rows = 0;
  const int32_t* rows_of = nullptr;  // [tokens, count]
  const float* weights = nullptr;    // [tokens, count] or null
  int64_t tokens = 0, count = 0, size = 0;
  void* out = nullptr;  // [tokens, size], contiguous
};

// The way back of SumRows with weights: dy[rows_of[t, k]] = weights[t, k] * dout[t], and dweights[t, k] is the dot
// product of dout[t] and y[rows_of[t, k]] (0 for a row outside). Each row may be named once; dy of rows that no pair
// names is left as it was: zero it first where there are such rows.
struct SumRowsBackward {
  Type type = Type::kFloat32;
  const void* dout = nullptr;
  int64_t dout_stride = 0;
  const void* y = nullptr;  // null if dweights is
  int64_t y_stride = 0, y_rows = 0;
  const int32_t* rows_of = nullptr;
  const float* weights = nullptr;
  int64_t tokens = 0, count = 0, size = 0;
  void* dy = nullptr;         // [y_rows, size], contiguous
  float* dweights = nullptr;  // [tokens, count] or null: not wanted
};

// Attention of single tokens over a paged cache of latents, MLA's absorbed form (DeepSeek-V2, 2024, section 2.1.2):
// out[t, h] = sum over i of softmax_i(scale * queries[t, h] . row_i) * row_i[0 : latent], over the first lengths[t]
// rows of the token's sequence. A row is the latent and then the rotary key. Row i of sequence s is row i % page_size
// of page block_table[s, i / page_size]. Rows are shared out over `splits` blocks a token, each with an online softmax,
// and joined by their logarithms of sums. Length 0 gives zeros and a logarithm of -infinity. A page outside
// [0, page_count) makes what reads it NaN. Several new tokens of one sequence are tokens with lengths of their own.
struct LatentDecode {
  Type type = Type::kFloat32;
  const void* queries = nullptr;  // [tokens, heads, latent + rope]
  int64_t query_token_stride = 0, query_head_stride = 0;
  const void* pages = nullptr;  // [page_count, page_size, latent + rope]
  int64_t page_stride = 0, row_stride = 0, page_count = 0, page_size = 0;
  const int32_t* block_table = nullptr;  // [sequences, table_stride]
  int64_t table_stride = 0;              // pages a sequence has room for; lengths beyond them are cut off there
  const int32_t* sequence_of = nullptr;  // [tokens]: the row of block_table; null: the token's own number
  const int32_t* lengths = nullptr;      // [tokens]
  int64_t tokens = 0, heads = 0;
  int64_t latent = 0, rope = 0;  // latent at most kLargestLatent, latent + rope at most kLargestRow
  float scale = 1;
  int64_t splits = 1;  // 1 … kMostSplits; see latent_decode_splits

  float* partial = nullptr;           // [tokens, heads, splits, latent]: workspace
  float* partial_log_sums = nullptr;  // [tokens, heads, splits]: workspace
  void* out = nullptr;                // [tokens, heads, latent]
  int64_t out_token_stride = 0, out_head_stride = 0;
  float* log_sums = nullptr;  // [tokens, heads] or null: not wanted
};
constexpr int64_t kLargestLatent = 1024, kLargestRow = 1536, kMostSplits = 64, kHeadsPerBlock = 8;
// Enough blocks to fill a large GPU (about two for each of 132 multiprocessors), but no split below 256 rows.
constexpr int64_t latent_decode_splits(int64_t tokens, int64_t heads, int64_t longest) {
  const int64_t blocks = tokens * ((heads + kHeadsPerBlock - 1) / kHeadsPerBlock);
  const int64_t wanted = blocks > 0 ? (264 + blocks - 1) / blocks : 1, useful = (longest + 255) / 256;
  const int64_t splits = wanted < useful ? wanted : useful;
  return splits < 1 ? 1 : (splits > kMostSplits ? kMostSplits : splits);
}

// Numbers [begin, begin + count) of a flattened weight, widened; products with the scales are made in float32 and
// rounded once, so that the result has the bits of the CPU's (models/checkpoint/quantised_tensor.h, which also says
// what lies where in a file).

// NF4 (Dettmers et al. 2023, QLoRA): two codes a byte, the first in the high half; number = table[code] * absmax of its
// block. absmax is float32, or with nested_block > 0 itself codes: nested_table[code] * nested_absmax + nested_offset.
struct WidenNf4 {
  const uint8_t* codes = nullptr;
  const float* table = nullptr;  // [16]
  int64_t block = 64;
  const float* absmax = nullptr;          // [blocks], used if nested_block is 0
  const uint8_t* absmax_codes = nullptr;  // [blocks], used otherwise
  const float* nested_table = nullptr;    // [256]
  const float* nested_absmax = nullptr;   // [blocks / nested_block, rounded up]
  int64_t nested_block = 0;
  float nested_offset = 0;
  int64_t begin = 0, count = 0;
  Type type = Type::kFloat32;
  void* out = nullptr;
};

// FP8 e4m3 (1, 4 and 3 bits, bias 7, no infinity; 0x7f and 0xff are NaN), number = code * scale of its block of
// block_rows x block_columns (DeepSeek-V3, 2024, section 3.3: 128 x 128). A scale may be anything, NaN included.
struct WidenFp8 {
  const uint8_t* codes = nullptr;  // [experts, rows, columns]
  const float* scales = nullptr;   // [experts, rows / block_rows, columns / block_columns], rounded up
  int64_t rows = 0, columns = 0, block_rows = 128, block_columns = 128;
  int64_t begin = 0, count = 0;
  Type type = Type::kFloat32;
  void* out = nullptr;
};

// int8 of bitsandbytes: number = code * (scale of its row / 127).
struct WidenInt8 {
  const int8_t* codes = nullptr;
  const float* scales = nullptr;  // [rows]
  int64_t columns = 0;
  int64_t begin = 0, count = 0;
  Type type = Type::kFloat32;
  void* out = nullptr;
};

// Cross entropy of rows of logits: losses[n] = log(sum(exp(logits[n]))) - logits[n, targets[n]] and their sum. With
// `gradient` the logits become scale * (softmax(logits) - onehot(target)), in place. A row whose target is
// ignore_index has loss and gradient 0; one whose target is otherwise outside [0, size) has NaN for both. Logits of
// -infinity are classes that cannot be.
struct CrossEntropy {
  Type type = Type::kFloat32;
  void* logits = nullptr;
  int64_t stride = 0, rows = 0, size = 0;
  const int64_t* targets = nullptr;  // [rows]
  int64_t ignore_index = -100;
  float scale = 1;
  bool gradient = false;
  float* losses = nullptr;  // [rows]
  double* sum = nullptr;    // [1]
};

template <typename Arguments>
using Launch = const char* (*)(const Arguments& arguments, void* stream);

struct KernelTable {
  int32_t version = 0;  // kKernelVersion, or the library and the program do not belong together
  Launch<SortByExpert> sort_by_expert = nullptr;
  Launch<GatherRows> gather_rows = nullptr;
  Launch<SumRows> sum_rows = nullptr;
  Launch<SumRowsBackward> sum_rows_backward = nullptr;
  Launch<LatentDecode> latent_decode = nullptr;
  Launch<WidenNf4> widen_nf4 = nullptr;
  Launch<WidenFp8> widen_fp8 = nullptr;
  Launch<WidenInt8> widen_int8 = nullptr;
  Launch<CrossEntropy> cross_entropy = nullptr;
};
constexpr int32_t kKernelVersion = 1;

}  // namespace masbak::models::cuda

// What libmasbak_cuda.so exports, under this name.
extern "C" const masbak::models::cuda::KernelTable* masbak_cuda_kernels();

// Shape letters beyond the header's: n tokens of a segment.
//
// Each head of each segment is one thread's work, in tiles that stay in its cache: kQueries x kKeys scores at a time,
// below the diagonal only. What grows with n are the packed factors of one head a thread, nothing grows with its square
// (FlashAttention-2, Dao 2023, has the same two loops backward).
#include "models/layers/packed_attention.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <atomic>

#include "models/kernels/cpu/matrix.h"
#include "models/layers/differentiable.h"

namespace masbak::models {
namespace {

using kernels::kDepthStep;
using kernels::kPanel;
using kernels::packed_size;
using kernels::panel_size;

// Multiples of what the kernels take at once: 6 rows, panels of 64 columns.
constexpr int64_t kQueries = 48, kKeys = 192;

#define MASBAK_DISPATCH(TENSOR, ...) \
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, (TENSOR).scalar_type(), "masbak", __VA_ARGS__)

struct Sizes {
  int64_t heads, nope, rope, value;
  int64_t query() const { return nope + rope; }
};

// A buffer of one thread, aligned for vectors.
template <typename T>
class Buffer {
 public:
  explicit Buffer(int64_t numbers)
      : tensor_(at::empty({std::max<int64_t>(numbers, 1)}, c10::CppTypeToScalarType<T>::value)),
        data_(tensor_.mutable_data_ptr<T>()) {}
  T* data() { return data_; }

 private:
  at::Tensor tensor_;
  T* data_;
};

int64_t round_up(int64_t count, int64_t multiple) { return (count + multiple - 1) / multiple * multiple; }

// One head of one segment: where its rows begin and how far apart they are.
template <typename T>
struct Rows {
  T* data;
  int64_t stride;
  T* at(int64_t row) const { return data + row * stride; }
};

template <typename T>
struct Head {
  int64_t length;
  Rows<const T> query, key, shared, value;  // the key without its rotary part, which is `shared`
  const Sizes& sizes;
  double scale;

  // Keys [begin, begin + count) whole, one after another.
  void gather_keys(int64_t begin, int64_t count, T* to) const {
    for (int64_t i = begin; i < begin + count; ++i, to += sizes.query()) {
      std::copy_n(key.at(i), sizes.nope, to);
      std::copy_n(shared.at(i), sizes.rope, to + sizes.nope);
    }
  }
};

// Writes the rows of `out` and the logarithm of each row's sum of exponentials.
template <typename T>
void attend(const Head<T>& head, Rows<T> out, Rows<typename kernels::Accumulate<T>::type> log_sums) {
  using A = typename kernels::Accumulate<T>::type;
  const auto& matrix = kernels::matrix_kernels<T>();
  const auto& row = kernels::row_kernels<T>();
  const int64_t n = head.length, query = head.sizes.query(), value = head.sizes.value;
  const int64_t width = round_up(n, kPanel), key_panel = panel_size<T>(query), value_panel = panel_size<T>(n);
  Buffer<T> keys(packed_size<T>(query, n)), values(packed_size<T>(n, value)), gathered(kPanel * query);
  for (int64_t begin = 0; begin < n; begin += kPanel) {
    const int64_t count = std::min(kPanel, n - begin);
    head.gather_keys(begin, count, gathered.data());
    matrix.pack_transposed(query, count, gathered.data(), query, keys.data() + begin / kPanel * key_panel);
  }
  matrix.pack(n, value, head.value.data, head.value.stride, values.data());
  Buffer<A> scores(kQueries * width), sums(kQueries * value);
  Buffer<T> weights(kQueries * width);
  for (int64_t first = 0; first < n; first += kQueries) {
    const int64_t rows = std::min(kQueries, n - first), seen = first + rows;
    matrix.multiply(rows, seen, query, {head.query.at(first), head.query.stride}, keys.data(), key_panel, false,
                    scores.data(), width);
    for (int64_t r = 0; r < rows; ++r) {
      *log_sums.at(first + r) = row.softmax(first + r + 1, seen, static_cast<A>(head.scale), scores.data() + r * width,
                                            weights.data() + r * width);
    }
    matrix.multiply(rows, value, seen, {weights.data(), width}, values.data(), value_panel, false, sums.data(), value);
    for (int64_t r = 0; r < rows; ++r) row.round(value, sums.data() + r * value, out.at(first + r));
  }
}

// Where the gradients of one head go.
template <typename T>
struct HeadGradients {
  Rows<T> query, key, value;
  Rows<typename kernels::Accumulate<T>::type> shared;  // this head's part
};

template <typename T>
class HeadBackward {
 public:
  using A = typename kernels::Accumulate<T>::type;

  HeadBackward(const Head<T>& head, Rows<const T> out, Rows<const T> dout, Rows<const A> log_sums)
      : head_(head),
        dout_(dout),
        log_sums_(log_sums),
        query_(head.sizes.query()),
        value_(head.sizes.value),
        blocks_((head.length + kQueries - 1) / kQueries),
        queries_(blocks_ * packed_size<T>(kQueries, query_)),
        douts_(blocks_ * packed_size<T>(kQueries, value_)),
        deltas_(head.length),
        dquery_(head.length * query_) {
    std::fill_n(dquery_.data(), head.length * query_, A(0));
    for (int64_t b = 0; b < blocks_; ++b) {
      const int64_t first = b * kQueries, rows = std::min(kQueries, head.length - first);
      matrix_.pack(rows, query_, head.query.at(first), head.query.stride, packed_queries(b));
      matrix_.pack(rows, value_, dout.at(first), dout.stride, packed_douts(b));
    }
    for (int64_t i = 0; i < head.length; ++i) deltas_.data()[i] = row_.dot(value_, out.at(i), dout.at(i));
  }

  void run(const HeadGradients<T>& to) {
    for (int64_t first = 0; first < head_.length; first += kKeys) {
      keys(first, std::min(kKeys, head_.length - first), to);
    }
    for (int64_t i = 0; i < head_.length; ++i) row_.round(query_, dquery_.data() + i * query_, to.query.at(i));
  }

 private:
  T* packed_queries(int64_t block) { return queries_.data() + block * packed_size<T>(kQueries, query_); }
  T* packed_douts(int64_t block) { return douts_.data() + block * packed_size<T>(kQueries, value_); }

  // The keys and values [first, first + count) against every query that sees them.
  void keys(int64_t first, int64_t count, const HeadGradients<T>& to) {
    head_.gather_keys(first, count, gathered_.data());
    matrix_.pack_transposed(query_, count, gathered_.data(), query_, keys_by_query_.data());
    matrix_.pack(count, query_, gathered_.data(), query_, keys_by_key_.data());
    matrix_.pack_transposed(value_, count, head_.value.at(first), head_.value.stride, values_.data());
    std::fill_n(dkey_.data(), count * query_, A(0));
    std::fill_n(dvalue_.data(), count * value_, A(0));
    for (int64_t b = first / kQueries; b < blocks_; ++b) tile(b, first, count);
    for (int64_t i = 0; i < count; ++i) {
      const A* dkey = dkey_.data() + i * query_;
      row_.round(head_.sizes.nope, dkey, to.key.at(first + i));
      std::copy_n(dkey + head_.sizes.nope, head_.sizes.rope, to.shared.at(first + i));
      row_.round(value_, dvalue_.data() + i * value_, to.value.at(first + i));
    }
  }

  void tile(int64_t block, int64_t first_key, int64_t keys) {
    const int64_t first = block * kQueries, rows = std::min(kQueries, head_.length - first);
    const int64_t seen = std::min(keys, first + rows - first_key);
    matrix_.multiply(rows, seen, query_, {head_.query.at(first), head_.query.stride}, keys_by_query_.data(),
                     panel_size<T>(query_), false, scores_.data(), kKeys);
    matrix_.multiply(rows, seen, value_, {dout_.at(first), dout_.stride}, values_.data(), panel_size<T>(value_), false,
                     dweights_.data(), kKeys);
    const auto scale = static_cast<A>(head_.scale);
    const int64_t step = kDepthStep<T>, depth = round_up(rows, step);
    for (int64_t r = 0; r < depth; ++r) {
      // A row that is not there fills the last pair with zeros.
      const int64_t own = r < rows ? std::clamp<int64_t>(first + r + 1 - first_key, 0, seen) : 0;
      const bool any = own > 0;
      row_.softmax_backward(own, seen, scale, any ? *log_sums_.at(first + r) : A(0),
                            any ? deltas_.data()[first + r] : A(0), scores_.data() + r * kKeys,
                            dweights_.data() + r * kKeys, weights_.data() + r * kKeys, dscores_.data() + r * kKeys);
    }
    for (int64_t r = 0; step == 2 && r < depth; r += step) {
      const int64_t place = r * kKeys, next = place + kKeys;
      matrix_.interleave(seen, dscores_.data() + place, dscores_.data() + next, dscore_pairs_.data() + place);
      matrix_.interleave(seen, weights_.data() + place, weights_.data() + next, weight_pairs_.data() + place);
    }
    matrix_.multiply(rows, query_, seen, {dscores_.data(), kKeys}, keys_by_key_.data(), panel_size<T>(keys), true,
                     dquery_.data() + first * query_, query_);
    // As left factors transposed: a row of these is a column of the tile.
    const T* dscores = step == 1 ? dscores_.data() : dscore_pairs_.data();
    const T* weights = step == 1 ? weights_.data() : weight_pairs_.data();
    matrix_.multiply(seen, query_, depth, {dscores, step, step * kKeys}, packed_queries(block), panel_size<T>(rows),
                     true, dkey_.data(), query_);
    matrix_.multiply(seen, value_, depth, {weights, step, step * kKeys}, packed_douts(block), panel_size<T>(rows), true,
                     dvalue_.data(), value_);
  }

  const kernels::MatrixKernels<T>& matrix_ = kernels::matrix_kernels<T>();
  const kernels::RowKernels<T>& row_ = kernels::row_kernels<T>();
  const Head<T>& head_;
  const Rows<const T> dout_;
  const Rows<const A> log_sums_;
  const int64_t query_, value_, blocks_;
  Buffer<T> queries_, douts_;  // packed, block by block
  Buffer<A> deltas_, dquery_;
  // Of one block of keys.
  Buffer<T> gathered_{kKeys * query_}, keys_by_query_{packed_size<T>(query_, kKeys)},
      keys_by_key_{packed_size<T>(kKeys, query_)}, values_{packed_size<T>(value_, kKeys)};
  Buffer<A> dkey_{kKeys * query_}, dvalue_{kKeys * value_};
  // Of one tile: scores and what follows from them, row by row, and in pairs of rows as a transposed left factor.
  Buffer<A> scores_{(kQueries + 1) * kKeys}, dweights_{(kQueries + 1) * kKeys};
  Buffer<T> weights_{(kQueries + 1) * kKeys}, dscores_{(kQueries + 1) * kKeys};
  Buffer<T> weight_pairs_{(kQueries + 1) * kKeys}, dscore_pairs_{(kQueries + 1) * kKeys};
};

// Calls body(segment, head) for each, on as many threads as there are.
template <typename Body>
void for_heads(const std::vector<Segment>& segments, int64_t heads, const Body& body) {
  const int64_t tasks = static_cast<int64_t>(segments.size()) * heads;
  std::atomic<int64_t> next = 0;
  const int64_t threads = std::min<int64_t>(tasks, at::in_parallel_region() ? 1 : at::get_num_threads());
  at::parallel_for(0, threads, 1, [&](int64_t, int64_t) {
    const at::NoGradGuard no_grad;  // the mode is a thread's own
    for (int64_t task = next++; task < tasks; task = next++) body(segments[task / heads], task % heads);
  });
}

struct Inputs {
  at::Tensor q, kv, shared;
  Sizes sizes;
  double scale;
  std::vector<Segment> segments;

  template <typename T>
  Head<T> head(const Segment& segment, int64_t index) const {
    const int64_t width = sizes.nope + sizes.value;
    const T* keys = kv.const_data_ptr<T>() + (segment.begin * sizes.heads + index) * width;
    return {
        segment.length,
        {q.const_data_ptr<T>() + (segment.begin * sizes.heads + index) * sizes.query(), sizes.heads * sizes.query()},
        {keys, sizes.heads * width},
        {shared.const_data_ptr<T>() + segment.begin * sizes.rope, sizes.rope},
        {keys + sizes.nope, sizes.heads * width},
        sizes,
        scale};
  }
  // One head's columns of a tensor [T, heads * size].
  template <typename T, typename P>
  Rows<T> columns(P* data, const Segment& segment, int64_t index, int64_t size) const {
    return {data + (segment.begin * sizes.heads + index) * size, sizes.heads * size};
  }
};

std::vector<at::Tensor> backward(const Inputs& in, const at::Tensor& out, const at::Tensor& log_sums_TH,
                                 const at::Tensor& dout) {
  const Sizes& sizes = in.sizes;
  const int64_t tokens = out.size(0), width = sizes.nope + sizes.value;
  const at::Tensor dq = at::empty({tokens, sizes.heads, sizes.query()}, out.options());
  const at::Tensor dkv = at::empty({tokens, sizes.heads, width}, out.options());
  const at::Tensor dshared = at::empty({tokens, sizes.rope}, out.options());
  const at::Tensor by_head = at::empty({tokens, sizes.heads, sizes.rope}, log_sums_TH.options());
  MASBAK_DISPATCH(out, [&] {
    using T = scalar_t;
    using A = typename kernels::Accumulate<T>::type;
    for_heads(in.segments, sizes.heads, [&](const Segment& segment, int64_t index) {
      const Head<T> head = in.head<T>(segment, index);
      HeadBackward<T> work(head, in.columns<const T>(out.const_data_ptr<T>(), segment, index, sizes.value),
                           in.columns<const T>(dout.const_data_ptr<T>(), segment, index, sizes.value),
                           in.columns<const A>(log_sums_TH.const_data_ptr<A>(), segment, index, 1));
      const Rows<T> keys = in.columns<T>(dkv.mutable_data_ptr<T>(), segment, index, width);
      work.run({in.columns<T>(dq.mutable_data_ptr<T>(), segment, index, sizes.query()),
                keys,
                {keys.data + sizes.nope, keys.stride},
                in.columns<A>(by_head.mutable_data_ptr<A>(), segment, index, sizes.rope)});
    });
    // The shared key's gradient is the sum over the heads, in their order.
    const A* parts = by_head.const_data_ptr<A>();
    T* sums = dshared.mutable_data_ptr<T>();
    at::parallel_for(0, tokens, 256, [&](int64_t begin, int64_t end) {
      std::vector<A> sum(sizes.rope);
      for (int64_t t = begin; t < end; ++t) {
        std::fill(sum.begin(), sum.end(), A(0));
        for (int64_t h = 0; h < sizes.heads; ++h) {
          const A* part = parts + (t * sizes.heads + h) * sizes.rope;
          for (int64_t p = 0; p < sizes.rope; ++p) sum[p] += part[p];
        }
        kernels::row_kernels<T>().round(sizes.rope, sum.data(), sums + t * sizes.rope);
      }
    });
  });
  return {dq, dkv, dshared};
}

}  // namespace

at::Tensor packed_latent_attention(const at::Tensor& q_THQ, const at::Tensor& kv_THX, const at::Tensor& shared_TP,
                                   int64_t value_size, double scale, const std::vector<Segment>& segments) {
  Inputs in;
  at::Tensor out, log_sums_TH;
  {
    const at::NoGradGuard no_grad;
    in = {q_THQ.detach().contiguous(),
          kv_THX.detach().contiguous(),
          shared_TP.detach().contiguous(),
          {q_THQ.size(1), kv_THX.size(2) - value_size, shared_TP.size(1), value_size},
          scale,
          segments};
    out = at::empty({in.q.size(0), in.sizes.heads * value_size}, in.q.options());
    log_sums_TH = at::empty({in.q.size(0), in.sizes.heads}, in.q.options().dtype(sum_type(out)));
    MASBAK_DISPATCH(out, [&] {
      using A = typename kernels::Accumulate<scalar_t>::type;
      for_heads(segments, in.sizes.heads, [&](const Segment& segment, int64_t index) {
        attend<scalar_t>(in.head<scalar_t>(segment, index),
                         in.columns<scalar_t>(out.mutable_data_ptr<scalar_t>(), segment, index, value_size),
                         in.columns<A>(log_sums_TH.mutable_data_ptr<A>(), segment, index, 1));
      });
    });
  }
  return differentiable(out, {q_THQ, kv_THX, shared_TP},
                        [in, kept = out.detach(), log_sums_TH](const at::Tensor& dout, const std::vector<bool>&) {
                          return backward(in, kept, log_sums_TH, dout);
                        });
}

}  // namespace masbak::models

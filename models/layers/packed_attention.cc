// Shape letters beyond the header's: n tokens of a segment.
//
// Each head of each segment is one thread's work, in tiles that stay in its cache: kQueries x kKeys scores at a time,
// below the diagonal only. What grows with n are the packed factors of one head a thread; nothing that grows with its
// square outlives a tile but the weights of short segments (FlashAttention-2, Dao 2023, has the same two loops
// backward, and keeps none).
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
using kernels::Left;
using kernels::packed_size;
using kernels::panel_size;

// Multiples of what the kernels take at once: 6 rows, panels of 64 columns.
constexpr int64_t kQueries = 48, kKeys = 192;
constexpr int64_t kSomeRows = 12;     // that end at the same key where the diagonal cuts off the rest
constexpr int64_t kLineNumbers = 32;  // of bfloat16 in a line of the cache
// Up to this length a segment's weights are kept, half of its square: at most about 600 numbers a token and
// head, whatever the lengths are. Else the way back multiplies queries and keys a second time.
constexpr int64_t kKeptLength = 1024;

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

// Where a head's softmax weights lie that are kept for the way back, group after group of kKeys queries: a row for each
// query, of the keys up to the group's last.
template <typename T>
struct KeptWeights {
  static int64_t width(int64_t length, int64_t group) {
    return round_up(std::min(length, (group + 1) * kKeys), kLineNumbers);
  }
  static int64_t place(int64_t group) { return kKeys * kKeys * group * (group + 1) / 2; }
  static int64_t size(int64_t length) {
    const int64_t last = (length - 1) / kKeys;
    return place(last) + (length - last * kKeys) * width(length, last);
  }
  // Those of the query.
  Rows<T> from(int64_t length, int64_t query) const {
    const int64_t group = query / kKeys, stride = width(length, group);
    return {data + place(group) + query % kKeys * stride, stride};
  }

  T* data = nullptr;  // null: nothing is kept
};

// Writes the rows of `out`, the logarithm of each row's sum of exponentials and, where they are kept, the weights.
template <typename T>
void attend(const Head<T>& head, Rows<T> out, Rows<typename kernels::Accumulate<T>::type> log_sums,
            const KeptWeights<T>& kept) {
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
  Buffer<T> room(kept.data == nullptr ? kQueries * width : 0);
  for (int64_t first = 0; first < n; first += kQueries) {
    const int64_t rows = std::min(kQueries, n - first), seen = first + rows;
    const Rows<T> weights = kept.data != nullptr ? kept.from(n, first) : Rows<T>{room.data(), width};
    matrix.multiply(rows, seen, query, {head.query.at(first), head.query.stride}, keys.data(), key_panel, false,
                    scores.data(), width);
    for (int64_t r = 0; r < rows; ++r) {
      *log_sums.at(first + r) =
          row.softmax(first + r + 1, seen, static_cast<A>(head.scale), scores.data() + r * width, weights.at(r));
    }
    for (int64_t r = 0; r < rows; r += kSomeRows) {
      const int64_t some = std::min(kSomeRows, rows - r);
      matrix.multiply(some, value, first + r + some, {weights.at(r), weights.stride}, values.data(), value_panel, false,
                      sums.data() + r * value, value);
    }
    for (int64_t r = 0; r < rows; ++r) row.round(value, sums.data() + r * value, out.at(first + r));
  }
}

// Where the gradients of one head go.
template <typename T>
struct HeadGradients {
  Rows<T> query, key, value;
  Rows<typename kernels::Accumulate<T>::type> shared;  // this head's part
};

// The gradients of one head. Queries are taken in groups of kKeys, so that a block of keys and the group that begins
// with it are the square on the diagonal.
template <typename T>
class HeadBackward {
 public:
  using A = typename kernels::Accumulate<T>::type;

  HeadBackward(const Head<T>& head, Rows<const T> out, Rows<const T> dout, Rows<const A> log_sums,
               const KeptWeights<T>& kept)
      : head_(head),
        dout_(dout),
        log_sums_(log_sums),
        kept_(kept),
        query_(head.sizes.query()),
        value_(head.sizes.value),
        groups_((head.length + kKeys - 1) / kKeys),
        queries_(groups_ * packed_size<T>(kKeys, query_)),
        douts_(groups_ * packed_size<T>(kKeys, value_)),
        deltas_(head.length),
        dquery_(head.length * query_) {
    for (int64_t g = 0; g < groups_; ++g) {
      const int64_t count = queries_of(g), last = g * kKeys + count - 1;
      matrix_.pack(count, query_, head.query.at(last), -head.query.stride, packed_queries(g));
      matrix_.pack(count, value_, dout.at(last), -dout.stride, packed_douts(g));
    }
    for (int64_t i = 0; i < head.length; ++i) deltas_.data()[i] = row_.dot(value_, out.at(i), dout.at(i));
  }

  void run(const HeadGradients<T>& to) {
    for (int64_t first = 0; first < head_.length; first += kKeys) {
      keys(first, std::min(kKeys, head_.length - first), to);
    }
  }

 private:
  int64_t queries_of(int64_t group) const { return std::min(kKeys, head_.length - group * kKeys); }
  // From the group's last query to its first: those that see a key of the diagonal's square come first.
  T* packed_queries(int64_t group) { return queries_.data() + group * packed_size<T>(kKeys, query_); }
  T* packed_douts(int64_t group) { return douts_.data() + group * packed_size<T>(kKeys, value_); }

  // The keys and values [first, first + count) against every query that sees them.
  void keys(int64_t first, int64_t count, const HeadGradients<T>& to) {
    head_.gather_keys(first, count, gathered_.data());
    if (kept_.data == nullptr) {
      matrix_.pack_transposed(query_, count, gathered_.data(), query_, keys_by_query_.data());
    }
    matrix_.pack(count, query_, gathered_.data(), query_, keys_by_key_.data());
    matrix_.pack_transposed(value_, count, head_.value.at(first), head_.value.stride, values_.data());
    for (int64_t g = first / kKeys; g < groups_; ++g) square(g, first, count);
    for (int64_t i = 0; i < count; ++i) {
      // These keys are the last that the queries beside them see.
      row_.round(query_, dquery_.data() + (first + i) * query_, to.query.at(first + i));
      const A* dkey = dkey_.data() + i * query_;
      row_.round(head_.sizes.nope, dkey, to.key.at(first + i));
      std::copy_n(dkey + head_.sizes.nope, head_.sizes.rope, to.shared.at(first + i));
      row_.round(value_, dvalue_.data() + i * value_, to.value.at(first + i));
    }
  }

  // A group of queries against a block of keys.
  void square(int64_t group, int64_t first_key, int64_t keys) {
    const int64_t first = group * kKeys, queries = queries_of(group), step = kDepthStep<T>;
    const Rows<T> weights = weights_of(first, first_key);
    for (int64_t q = 0; q < queries; q += kQueries) {
      scores_of(first + q, std::min(kQueries, queries - q), first_key, keys, {weights.at(q), weights.stride},
                dscores_.data() + q * kKeys);
    }
    // As left factors transposed, a row of which is a column of the square, and from the last query to the first.
    const bool diagonal = first == first_key;
    for (int64_t q = queries - 1, pair = 0; step == 2 && q >= 0; q -= 2, ++pair) {
      const int64_t next = std::max<int64_t>(q - 1, 0);  // a pair without a second is not read beyond its first
      const int64_t seen = diagonal ? std::min(keys, round_up(q + 1, kQueries)) : keys;
      matrix_.interleave(seen, dscores_.data() + q * kKeys, dscores_.data() + next * kKeys,
                         dscore_pairs_.data() + pair * step * kKeys);
      matrix_.interleave(seen, weights.at(q), weights.at(next), weight_pairs_.data() + pair * step * kKeys);
    }
    const int64_t last = queries - 1;
    const Left<T> dscores = step == 2 ? Left<T>{dscore_pairs_.data(), step, step * kKeys}
                                      : Left<T>{dscores_.data() + last * kKeys, 1, -kKeys};
    const Left<T> own =
        step == 2 ? Left<T>{weight_pairs_.data(), step, step * kKeys} : Left<T>{weights.at(last), 1, -weights.stride};
    // On the diagonal, which comes first, some keys at a time: the first queries do not see them.
    for (int64_t key = 0; key < keys; key += diagonal ? kQueries : keys) {
      const int64_t some = diagonal ? std::min(kQueries, keys - key) : keys, depth = diagonal ? queries - key : queries;
      const Left<T> of_keys{dscores.data + key * dscores.row, dscores.row, dscores.step};
      const Left<T> of_values{own.data + key * own.row, own.row, own.step};
      matrix_.multiply(some, query_, depth, of_keys, packed_queries(group), panel_size<T>(queries), !diagonal,
                       dkey_.data() + key * query_, query_);
      matrix_.multiply(some, value_, depth, of_values, packed_douts(group), panel_size<T>(queries), !diagonal,
                       dvalue_.data() + key * value_, value_);
    }
  }

  // Where the weights of queries from `first` on for keys from `first_key` on lie, or are to be written.
  Rows<T> weights_of(int64_t first, int64_t first_key) {
    if (kept_.data == nullptr) return {weights_.data(), kKeys};
    const Rows<T> rows = kept_.from(head_.length, first);
    return {rows.data + first_key, rows.stride};
  }

  // The gradients of the scores of queries [first, first + rows), and the weights where they are not kept; from these
  // gradients those of the queries.
  void scores_of(int64_t first, int64_t rows, int64_t first_key, int64_t keys, Rows<T> weights, T* dscores) {
    const int64_t seen = std::min(keys, first + rows - first_key);
    const auto scale = static_cast<A>(head_.scale);
    if (kept_.data == nullptr) {
      matrix_.multiply(rows, seen, query_, {head_.query.at(first), head_.query.stride}, keys_by_query_.data(),
                       panel_size<T>(query_), false, scores_.data(), kKeys);
    }
    matrix_.multiply(rows, seen, value_, {dout_.at(first), dout_.stride}, values_.data(), panel_size<T>(value_), false,
                     dweights_.data(), kKeys);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t own = std::min(seen, first + r + 1 - first_key);
      const A delta = deltas_.data()[first + r], *dweights = dweights_.data() + r * kKeys;
      if (kept_.data != nullptr) {
        row_.kept_softmax_backward(own, seen, scale, delta, weights.at(r), dweights, dscores + r * kKeys);
      } else {
        row_.softmax_backward(own, seen, scale, *log_sums_.at(first + r), delta, scores_.data() + r * kKeys, dweights,
                              weights.at(r), dscores + r * kKeys);
      }
    }
    for (int64_t r = 0; r < rows; r += kSomeRows) {
      const int64_t some = std::min(kSomeRows, rows - r), depth = std::min(seen, first + r + some - first_key);
      matrix_.multiply(some, query_, depth, {dscores + r * kKeys, kKeys}, keys_by_key_.data(), panel_size<T>(keys),
                       first_key > 0, dquery_.data() + (first + r) * query_, query_);
    }
  }

  const kernels::MatrixKernels<T>& matrix_ = kernels::matrix_kernels<T>();
  const kernels::RowKernels<T>& row_ = kernels::row_kernels<T>();
  const Head<T>& head_;
  const Rows<const T> dout_;
  const Rows<const A> log_sums_;
  const KeptWeights<T> kept_;
  const int64_t query_, value_, groups_;
  Buffer<T> queries_, douts_;  // packed, group by group
  Buffer<A> deltas_, dquery_;
  // Of one block of keys.
  Buffer<T> gathered_{kKeys * query_}, keys_by_query_{kept_.data == nullptr ? packed_size<T>(query_, kKeys) : 0},
      keys_by_key_{packed_size<T>(kKeys, query_)}, values_{packed_size<T>(value_, kKeys)};
  Buffer<A> dkey_{kKeys * query_}, dvalue_{kKeys * value_};
  // Of one block of queries with it.
  Buffer<A> scores_{kept_.data == nullptr ? kQueries * kKeys : 0}, dweights_{kQueries * kKeys};
  // Of one group with it: row by row, and in pairs of rows as a transposed left factor.
  Buffer<T> weights_{kept_.data == nullptr ? kKeys * kKeys : 0}, dscores_{kKeys * kKeys};
  Buffer<T> weight_pairs_{kDepthStep<T> == 2 ? kKeys * kKeys : 0},
      dscore_pairs_{kDepthStep<T> == 2 ? kKeys * kKeys : 0};
};

// Calls body(index of the segment, head) for each, on as many threads as there are.
template <typename Body>
void for_heads(size_t segments, int64_t heads, const Body& body) {
  const int64_t tasks = static_cast<int64_t>(segments) * heads;
  std::atomic<int64_t> next = 0;
  const int64_t threads = std::min<int64_t>(tasks, at::in_parallel_region() ? 1 : at::get_num_threads());
  at::parallel_for(0, threads, 1, [&](int64_t, int64_t) {
    const at::NoGradGuard no_grad;  // the mode is a thread's own
    for (int64_t task = next++; task < tasks; task = next++) body(static_cast<size_t>(task / heads), task % heads);
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

// The weights of all segments and heads that are kept.
class Kept {
 public:
  Kept() = default;
  explicit Kept(const Inputs& in) {
    int64_t numbers = 0;
    for (const Segment& segment : in.segments) {
      const int64_t each = kept_weights(segment.length);
      places_.push_back(each > 0 ? numbers : -1);
      numbers += in.sizes.heads * each;
    }
    weights_ = at::empty({numbers}, in.q.options());
  }
  template <typename T>
  KeptWeights<T> head(const Inputs& in, size_t segment, int64_t index) const {
    if (places_.empty() || places_[segment] < 0) return {};
    return {weights_.mutable_data_ptr<T>() + places_[segment] + index * kept_weights(in.segments[segment].length)};
  }

 private:
  at::Tensor weights_;
  std::vector<int64_t> places_;  // of each segment's first; negative where they are not kept
};

std::vector<at::Tensor> backward(const Inputs& in, const at::Tensor& out, const at::Tensor& log_sums_TH,
                                 const Kept& kept, const at::Tensor& dout) {
  const Sizes& sizes = in.sizes;
  const int64_t tokens = out.size(0), width = sizes.nope + sizes.value;
  const at::Tensor dq = at::empty({tokens, sizes.heads, sizes.query()}, out.options());
  const at::Tensor dkv = at::empty({tokens, sizes.heads, width}, out.options());
  const at::Tensor dshared = at::empty({tokens, sizes.rope}, out.options());
  const at::Tensor by_head = at::empty({tokens, sizes.heads, sizes.rope}, log_sums_TH.options());
  MASBAK_DISPATCH(out, [&] {
    using T = scalar_t;
    using A = typename kernels::Accumulate<T>::type;
    for_heads(in.segments.size(), sizes.heads, [&](size_t place, int64_t index) {
      const Segment& segment = in.segments[place];
      const Head<T> head = in.head<T>(segment, index);
      HeadBackward<T> work(head, in.columns<const T>(out.const_data_ptr<T>(), segment, index, sizes.value),
                           in.columns<const T>(dout.const_data_ptr<T>(), segment, index, sizes.value),
                           in.columns<const A>(log_sums_TH.const_data_ptr<A>(), segment, index, 1),
                           kept.head<T>(in, place, index));
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

int64_t kept_weights(int64_t length) { return length <= kKeptLength ? KeptWeights<at::BFloat16>::size(length) : 0; }

at::Tensor packed_latent_attention(const at::Tensor& q_THQ, const at::Tensor& kv_THX, const at::Tensor& shared_TP,
                                   int64_t value_size, double scale, const std::vector<Segment>& segments) {
  Inputs in;
  Kept kept;
  at::Tensor out, log_sums_TH;
  const bool returns = any_gradient({q_THQ, kv_THX, shared_TP});
  {
    const at::NoGradGuard no_grad;
    in = {q_THQ.detach().contiguous(),
          kv_THX.detach().contiguous(),
          shared_TP.detach().contiguous(),
          {q_THQ.size(1), kv_THX.size(2) - value_size, shared_TP.size(1), value_size},
          scale,
          segments};
    if (returns) kept = Kept(in);
    out = at::empty({in.q.size(0), in.sizes.heads * value_size}, in.q.options());
    log_sums_TH = at::empty({in.q.size(0), in.sizes.heads}, in.q.options().dtype(sum_type(out)));
    MASBAK_DISPATCH(out, [&] {
      using A = typename kernels::Accumulate<scalar_t>::type;
      for_heads(segments.size(), in.sizes.heads, [&](size_t place, int64_t index) {
        const Segment& segment = segments[place];
        attend<scalar_t>(in.head<scalar_t>(segment, index),
                         in.columns<scalar_t>(out.mutable_data_ptr<scalar_t>(), segment, index, value_size),
                         in.columns<A>(log_sums_TH.mutable_data_ptr<A>(), segment, index, 1),
                         kept.head<scalar_t>(in, place, index));
      });
    });
  }
  return differentiable(out, {q_THQ, kv_THX, shared_TP},
                        [in, own = out.detach(), log_sums_TH, kept](const at::Tensor& dout, const std::vector<bool>&) {
                          return backward(in, own, log_sums_TH, kept, dout);
                        });
}

}  // namespace masbak::models

// Shape letters beyond the header's: S segments of a class, n their common padded length, B = S * H.
#include "models/layers/packed_attention.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <map>

#include "models/kernels/cpu/rows.h"

namespace masbak::models {
namespace {

using kernels::row_kernels;
using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// Lengths are filled up to a multiple: few shapes of products, whose machine code oneDNN makes once a shape.
constexpr int64_t kBlock = 32;
// Scores held at once, over all heads and segments of a class.
constexpr int64_t kScores = int64_t{1} << 22;

#define MASBAK_DISPATCH(TENSOR, ...) \
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, (TENSOR).scalar_type(), "masbak", __VA_ARGS__)

struct Sizes {
  int64_t heads, nope, rope, value;
  int64_t query() const { return nope + rope; }
};

// Segments that share a padded length.
struct Class {
  int64_t padded = 0;
  std::vector<std::pair<int64_t, int64_t>> segments;  // begin and length

  int64_t batch(const Sizes& sizes) const { return static_cast<int64_t>(segments.size()) * sizes.heads; }
  int64_t query_rows(const Sizes& sizes) const {  // of one block
    const int64_t fit = kScores / std::max<int64_t>(1, batch(sizes) * padded);
    return std::min(padded, std::max(kBlock, fit / kBlock * kBlock));
  }
};

std::vector<Class> classes(const std::vector<int64_t>& begins_and_lengths) {
  std::map<int64_t, Class> by_length;
  for (size_t i = 0; i < begins_and_lengths.size(); i += 2) {
    const int64_t padded = (begins_and_lengths[i + 1] + kBlock - 1) / kBlock * kBlock;
    by_length[padded].padded = padded;
    by_length[padded].segments.push_back({begins_and_lengths[i], begins_and_lengths[i + 1]});
  }
  std::vector<Class> result;
  for (auto& [length, c] : by_length) result.push_back(std::move(c));
  return result;
}

// Calls body(b, head, begin, length) for each segment and head of a class, b counting them.
template <typename Body>
void for_heads(const Class& c, int64_t heads, const Body& body) {
  at::parallel_for(0, static_cast<int64_t>(c.segments.size()) * heads, 1, [&](int64_t first, int64_t last) {
    for (int64_t b = first; b < last; ++b)
      body(b, b % heads, c.segments[b / heads].first, c.segments[b / heads].second);
  });
}

// Rows of [T, H, width] starting at feature `from` -> [B, n, size] at feature `to`, and zeros behind each segment.
template <typename T>
void pack(const Class& c, const Sizes& sizes, const T* x, int64_t width, int64_t from, int64_t count, bool shared, T* y,
          int64_t size, int64_t to) {
  for_heads(c, sizes.heads, [&](int64_t b, int64_t head, int64_t begin, int64_t length) {
    T* rows = y + b * c.padded * size + to;
    const int64_t stride = shared ? width : sizes.heads * width;
    const T* source = x + begin * stride + (shared ? 0 : head * width) + from;
    for (int64_t i = 0; i < length; ++i) std::copy_n(source + i * stride, count, rows + i * size);
    for (int64_t i = length; i < c.padded; ++i) std::fill_n(rows + i * size, count, T(0));
  });
}

// The way back: [B, n, size] from feature `from` -> [T, H, width] at feature `to`.
template <typename T>
void unpack(const Class& c, const Sizes& sizes, const T* y, int64_t size, int64_t from, int64_t count, T* x,
            int64_t width, int64_t to) {
  for_heads(c, sizes.heads, [&](int64_t b, int64_t head, int64_t begin, int64_t length) {
    const T* rows = y + b * c.padded * size + from;
    T* target = x + (begin * sizes.heads + head) * width + to;
    for (int64_t i = 0; i < length; ++i) std::copy_n(rows + i * size, count, target + i * sizes.heads * width);
  });
}

struct Packed {
  at::Tensor q_BnQ, k_BnQ, v_BnV;
};

Packed pack_all(const Class& c, const Sizes& sizes, const at::Tensor& q, const at::Tensor& kv,
                const at::Tensor& shared) {
  const int64_t batch = c.batch(sizes), query = sizes.query(), width = sizes.nope + sizes.value;
  Packed packed = {at::empty({batch, c.padded, query}, q.options()), at::empty({batch, c.padded, query}, q.options()),
                   at::empty({batch, c.padded, sizes.value}, q.options())};
  MASBAK_DISPATCH(q, [&] {
    auto* keys = packed.k_BnQ.mutable_data_ptr<scalar_t>();
    const auto* kv_data = kv.const_data_ptr<scalar_t>();
    pack(c, sizes, q.const_data_ptr<scalar_t>(), query, 0, query, false, packed.q_BnQ.mutable_data_ptr<scalar_t>(),
         query, 0);
    pack(c, sizes, kv_data, width, 0, sizes.nope, false, keys, query, 0);
    pack(c, sizes, shared.const_data_ptr<scalar_t>(), sizes.rope, 0, sizes.rope, true, keys, query, sizes.nope);
    pack(c, sizes, kv_data, width, sizes.nope, sizes.value, false, packed.v_BnV.mutable_data_ptr<scalar_t>(),
         sizes.value, 0);
  });
  return packed;
}

// softmax over the scores [B, rows, keys] of the queries from `first` on, in place; log_sums [B, n].
void softmax_rows(const Class& c, const Sizes& sizes, double scale, int64_t first, at::Tensor& scores,
                  at::Tensor& log_sums) {
  const int64_t rows = scores.size(1), keys = scores.size(2);
  MASBAK_DISPATCH(scores, [&] {
    using A = typename kernels::Accumulate<scalar_t>::type;
    auto* data = scores.mutable_data_ptr<scalar_t>();
    A* kept = log_sums.mutable_data_ptr<A>();
    for_heads(c, sizes.heads, [&](int64_t b, int64_t, int64_t, int64_t) {
      for (int64_t i = 0; i < rows; ++i) {
        kept[b * c.padded + first + i] =
            row_kernels<scalar_t>().softmax(first + i + 1, keys, static_cast<A>(scale), data + (b * rows + i) * keys);
      }
    });
  });
}

void softmax_rows_backward(const Class& c, const Sizes& sizes, double scale, int64_t first, const at::Tensor& log_sums,
                           const at::Tensor& deltas, at::Tensor& scores, at::Tensor& dweights) {
  const int64_t rows = scores.size(1), keys = scores.size(2);
  MASBAK_DISPATCH(scores, [&] {
    using A = typename kernels::Accumulate<scalar_t>::type;
    auto* data = scores.mutable_data_ptr<scalar_t>();
    auto* ddata = dweights.mutable_data_ptr<scalar_t>();
    const A* kept = log_sums.const_data_ptr<A>();
    const A* delta = deltas.const_data_ptr<A>();
    for_heads(c, sizes.heads, [&](int64_t b, int64_t, int64_t, int64_t) {
      for (int64_t i = 0; i < rows; ++i) {
        const int64_t row = b * c.padded + first + i, place = (b * rows + i) * keys;
        row_kernels<scalar_t>().softmax_backward(first + i + 1, keys, static_cast<A>(scale), kept[row], delta[row],
                                                 data + place, ddata + place);
      }
    });
  });
}

at::ScalarType sum_type(const at::Tensor& x) { return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat; }

// One class forward: the output rows go to out [T, H, V]; returns log_sums [B, n].
at::Tensor attend(const Class& c, const Sizes& sizes, double scale, const Packed& packed, at::Tensor& out) {
  at::Tensor log_sums = at::empty({c.batch(sizes), c.padded}, out.options().dtype(sum_type(out)));
  at::Tensor o_BnV = at::empty(packed.v_BnV.sizes(), out.options());
  const int64_t block = c.query_rows(sizes);
  for (int64_t first = 0; first < c.padded; first += block) {
    const int64_t rows = std::min(block, c.padded - first), keys = first + rows;
    at::Tensor scores = at::bmm(packed.q_BnQ.narrow(1, first, rows), packed.k_BnQ.narrow(1, 0, keys).transpose(1, 2));
    softmax_rows(c, sizes, scale, first, scores, log_sums);
    const at::Tensor values = packed.v_BnV.narrow(1, 0, keys);
    if (rows == c.padded) {
      at::bmm_out(o_BnV, scores, values);
    } else {
      o_BnV.narrow(1, first, rows).copy_(at::bmm(scores, values));
    }
  }
  MASBAK_DISPATCH(out, [&] {
    unpack(c, sizes, o_BnV.const_data_ptr<scalar_t>(), sizes.value, 0, sizes.value, out.mutable_data_ptr<scalar_t>(),
           sizes.value, 0);
  });
  return log_sums;
}

struct Gradients {
  at::Tensor q, kv, shared;  // as the inputs lie
};

// [B, n]: the dot product of each output row and its gradient.
at::Tensor row_dots(const Class& c, const Sizes& sizes, const at::Tensor& out, const at::Tensor& dout) {
  at::Tensor deltas = at::zeros({c.batch(sizes), c.padded}, out.options().dtype(sum_type(out)));
  MASBAK_DISPATCH(out, [&] {
    using A = typename kernels::Accumulate<scalar_t>::type;
    const auto* o = out.const_data_ptr<scalar_t>();
    const auto* d = dout.const_data_ptr<scalar_t>();
    A* delta = deltas.mutable_data_ptr<A>();
    for_heads(c, sizes.heads, [&](int64_t b, int64_t head, int64_t begin, int64_t length) {
      for (int64_t i = 0; i < length; ++i) {
        const int64_t row = ((begin + i) * sizes.heads + head) * sizes.value;
        A sum = 0;
        for (int64_t v = 0; v < sizes.value; ++v) sum += static_cast<A>(o[row + v]) * static_cast<A>(d[row + v]);
        delta[b * c.padded + i] = sum;
      }
    });
  });
  return deltas;
}

void unpack_gradients(const Class& c, const Sizes& sizes, const at::Tensor& dq, const at::Tensor& dk,
                      const at::Tensor& dv, Gradients& to) {
  const int64_t width = sizes.nope + sizes.value, query = sizes.query();
  MASBAK_DISPATCH(dq, [&] {
    using A = typename kernels::Accumulate<scalar_t>::type;
    const auto* keys = dk.const_data_ptr<scalar_t>();
    auto* kv = to.kv.mutable_data_ptr<scalar_t>();
    unpack(c, sizes, dq.const_data_ptr<scalar_t>(), query, 0, query, to.q.mutable_data_ptr<scalar_t>(), query, 0);
    unpack(c, sizes, keys, query, 0, sizes.nope, kv, width, 0);
    unpack(c, sizes, dv.const_data_ptr<scalar_t>(), sizes.value, 0, sizes.value, kv, width, sizes.nope);
    // The shared key's gradient is the sum over the heads, in their order.
    auto* shared = to.shared.mutable_data_ptr<scalar_t>();
    at::parallel_for(0, static_cast<int64_t>(c.segments.size()), 1, [&](int64_t begin, int64_t end) {
      std::vector<A> sum(sizes.rope);
      for (int64_t s = begin; s < end; ++s) {
        for (int64_t i = 0; i < c.segments[s].second; ++i) {
          std::fill(sum.begin(), sum.end(), A(0));
          for (int64_t h = 0; h < sizes.heads; ++h) {
            const auto* row = keys + ((s * sizes.heads + h) * c.padded + i) * query + sizes.nope;
            for (int64_t p = 0; p < sizes.rope; ++p) sum[p] += static_cast<A>(row[p]);
          }
          auto* target = shared + (c.segments[s].first + i) * sizes.rope;
          for (int64_t p = 0; p < sizes.rope; ++p) target[p] = static_cast<scalar_t>(sum[p]);
        }
      }
    });
  });
}

void attend_backward(const Class& c, const Sizes& sizes, double scale, const Packed& packed, const at::Tensor& log_sums,
                     const at::Tensor& out, const at::Tensor& dout, Gradients& to) {
  const at::Tensor deltas = row_dots(c, sizes, out, dout);
  at::Tensor do_BnV = at::empty(packed.v_BnV.sizes(), out.options());
  MASBAK_DISPATCH(out, [&] {
    pack(c, sizes, dout.const_data_ptr<scalar_t>(), sizes.value, 0, sizes.value, false,
         do_BnV.mutable_data_ptr<scalar_t>(), sizes.value, 0);
  });
  const int64_t block = c.query_rows(sizes);
  const bool whole = block >= c.padded;
  at::Tensor dq = at::empty(packed.q_BnQ.sizes(), out.options()), dk, dv;
  if (!whole) {  // several blocks of queries add to the same keys
    dk = at::zeros(packed.k_BnQ.sizes(), log_sums.options());
    dv = at::zeros(packed.v_BnV.sizes(), log_sums.options());
  }
  for (int64_t first = 0; first < c.padded; first += block) {
    const int64_t rows = std::min(block, c.padded - first), keys = first + rows;
    const at::Tensor q = packed.q_BnQ.narrow(1, first, rows), k = packed.k_BnQ.narrow(1, 0, keys);
    const at::Tensor d = do_BnV.narrow(1, first, rows);
    at::Tensor scores = at::bmm(q, k.transpose(1, 2));
    at::Tensor dscores = at::bmm(d, packed.v_BnV.narrow(1, 0, keys).transpose(1, 2));
    softmax_rows_backward(c, sizes, scale, first, log_sums, deltas, scores, dscores);
    if (whole) {
      at::bmm_out(dq, dscores, k);
      dk = at::bmm(dscores.transpose(1, 2), q);
      dv = at::bmm(scores.transpose(1, 2), d);
    } else {
      dq.narrow(1, first, rows).copy_(at::bmm(dscores, k));
      dk.narrow(1, 0, keys).add_(at::bmm(dscores.transpose(1, 2), q));
      dv.narrow(1, 0, keys).add_(at::bmm(scores.transpose(1, 2), d));
    }
  }
  unpack_gradients(c, sizes, dq, dk.to(out.scalar_type()).contiguous(), dv.to(out.scalar_type()).contiguous(), to);
}

struct PackedLatentAttention : torch::autograd::Function<PackedLatentAttention> {
  static Variable forward(AutogradContext* context, const Variable& q_THQ, const Variable& kv_THX,
                          const Variable& shared_TP, int64_t value, double scale, std::vector<int64_t> layout) {
    const Sizes sizes = {q_THQ.size(1), kv_THX.size(2) - value, shared_TP.size(1), value};
    const at::Tensor q = q_THQ.contiguous(), kv = kv_THX.contiguous(), shared = shared_TP.contiguous();
    at::Tensor out = at::empty({q.size(0), sizes.heads * value}, q.options());
    const bool keep = q_THQ.requires_grad() || kv_THX.requires_grad() || shared_TP.requires_grad();
    variable_list saved;
    for (const Class& c : classes(layout)) {
      const Packed packed = pack_all(c, sizes, q, kv, shared);
      const at::Tensor log_sums = attend(c, sizes, scale, packed, out);
      if (keep) saved.insert(saved.end(), {packed.q_BnQ, packed.k_BnQ, packed.v_BnV, log_sums});
    }
    saved.push_back(out);
    context->save_for_backward(saved);
    context->saved_data["sizes"] = std::vector<int64_t>{sizes.heads, sizes.nope, sizes.rope, sizes.value};
    context->saved_data["scale"] = scale;
    context->saved_data["layout"] = layout;
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const std::vector<int64_t> s = context->saved_data["sizes"].toIntVector();
    const Sizes sizes = {s[0], s[1], s[2], s[3]};
    const at::Tensor dout = gradients[0].contiguous();
    const at::Tensor& out = saved.back();
    const int64_t tokens = out.size(0);
    Gradients to = {at::empty({tokens, sizes.heads, sizes.query()}, out.options()),
                    at::empty({tokens, sizes.heads, sizes.nope + sizes.value}, out.options()),
                    at::empty({tokens, sizes.rope}, out.options())};
    size_t next = 0;
    for (const Class& c : classes(context->saved_data["layout"].toIntVector())) {
      attend_backward(c, sizes, context->saved_data["scale"].toDouble(),
                      {saved[next], saved[next + 1], saved[next + 2]}, saved[next + 3], out, dout, to);
      next += 4;
    }
    return {to.q, to.kv, to.shared, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor packed_latent_attention(const at::Tensor& q_THQ, const at::Tensor& kv_THX, const at::Tensor& shared_TP,
                                   int64_t value_size, double scale, const std::vector<Segment>& segments) {
  std::vector<int64_t> layout;
  for (const Segment& segment : segments) layout.insert(layout.end(), {segment.begin, segment.length});
  return PackedLatentAttention::apply(q_THQ, kv_THX, shared_TP, value_size, scale, layout);
}

}  // namespace masbak::models

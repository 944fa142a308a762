#include "models/layers/attention.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include <algorithm>

namespace masbak::models {
namespace {

// Queries computed at once where a window hides most keys: a block needs the keys of itself and of one window before.
constexpr int64_t kQueryBlock = 256;

// The last n of L tokens see all keys up to themselves, or the last `window` of these.
at::Tensor attend(const at::Tensor& q_nHQ, const at::Tensor& k_LGQ, const at::Tensor& v_LGV, double scale,
                  int64_t window) {
  const int64_t n = q_nHQ.size(0), heads = q_nHQ.size(1), size = q_nHQ.size(2);
  const int64_t length = k_LGQ.size(0), groups = k_LGQ.size(1), repeat = heads / groups, value = v_LGV.size(2);
  // Groups become the batch, so that keys and values are shared by a stride of zero and never copied.
  const at::Tensor q = q_nHQ.unflatten(1, {groups, repeat}).permute({1, 2, 0, 3});
  const at::Tensor k = k_LGQ.permute({1, 0, 2}).unsqueeze(1).expand({groups, repeat, length, size});
  // ATen's flash kernel wants equal sizes: the values are filled up with zeros.
  const at::Tensor padded = value < size ? at::constant_pad_nd(v_LGV, {0, size - value}) : v_LGV;
  const at::Tensor v = padded.permute({1, 0, 2}).unsqueeze(1).expand({groups, repeat, length, padded.size(2)});
  const bool hidden = window > 0 && window < length;
  at::Tensor out;
  if (!hidden && (n == length || n == 1)) {
    out = at::scaled_dot_product_attention(q, k, v, {}, 0.0, n > 1, scale);
  } else {
    at::Tensor seen = at::ones({n, length}, q.options().dtype(at::kBool)).tril(length - n);
    if (hidden) seen = seen.triu(length - n - window + 1);
    out = at::scaled_dot_product_attention(q, k, v, seen, 0.0, false, scale);
  }
  out = value < size ? out.narrow(3, 0, value) : out;
  return out.permute({2, 0, 1, 3}).reshape({n, heads * value});
}

}  // namespace

at::Tensor causal_attention(const at::Tensor& q_nHQ, const at::Tensor& k_LGQ, const at::Tensor& v_LGV, double scale,
                            int64_t window) {
  const int64_t n = q_nHQ.size(0), length = k_LGQ.size(0);
  if (window <= 0 || window >= length) return attend(q_nHQ, k_LGQ, v_LGV, scale, 0);
  std::vector<at::Tensor> outputs;
  for (int64_t begin = 0; begin < n; begin += kQueryBlock) {
    const int64_t rows = std::min(kQueryBlock, n - begin), end = length - n + begin + rows;
    const int64_t first = std::max<int64_t>(0, end - rows - window + 1);
    outputs.push_back(attend(q_nHQ.narrow(0, begin, rows), k_LGQ.narrow(0, first, end - first),
                             v_LGV.narrow(0, first, end - first), scale, window));
  }
  return outputs.size() == 1 ? outputs[0] : at::cat(outputs);
}

}  // namespace masbak::models

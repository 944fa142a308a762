#include "models/layers/attention.h"

#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/tril.h>

namespace masbak::models {

at::Tensor causal_attention(const at::Tensor& q_nHQ, const at::Tensor& k_LGQ, const at::Tensor& v_LGV, double scale) {
  const int64_t n = q_nHQ.size(0), heads = q_nHQ.size(1), size = q_nHQ.size(2);
  const int64_t length = k_LGQ.size(0), groups = k_LGQ.size(1), repeat = heads / groups, value = v_LGV.size(2);
  // Groups become the batch, so that keys and values are shared by a stride of zero and never copied.
  const at::Tensor q = q_nHQ.unflatten(1, {groups, repeat}).permute({1, 2, 0, 3});
  const at::Tensor k = k_LGQ.permute({1, 0, 2}).unsqueeze(1).expand({groups, repeat, length, size});
  // ATen's flash kernel wants equal sizes: the values are filled up with zeros.
  const at::Tensor padded = value < size ? at::constant_pad_nd(v_LGV, {0, size - value}) : v_LGV;
  const at::Tensor v = padded.permute({1, 0, 2}).unsqueeze(1).expand({groups, repeat, length, padded.size(2)});
  at::Tensor out;
  if (n == length || n == 1) {
    out = at::scaled_dot_product_attention(q, k, v, {}, 0.0, n > 1, scale);
  } else {
    const at::Tensor seen = at::ones({n, length}, q.options().dtype(at::kBool)).tril(length - n);
    out = at::scaled_dot_product_attention(q, k, v, seen, 0.0, false, scale);
  }
  out = value < size ? out.narrow(3, 0, value) : out;
  return out.permute({2, 0, 1, 3}).reshape({n, heads * value});
}

}  // namespace masbak::models

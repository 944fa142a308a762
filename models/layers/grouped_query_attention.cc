#include "models/layers/grouped_query_attention.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/clamp.h>

#include "models/layers/fused.h"

namespace masbak::models {

at::Tensor GroupedQueryAttention::clipped(const at::Tensor& x_TX) const {
  return clip > 0 ? at::clamp(x_TX, -clip, clip) : x_TX;
}

at::Tensor GroupedQueryAttention::turned(const at::Tensor& x_TX, const at::Tensor& norm_weight,
                                         const Context& context) const {
  const at::Tensor whole = norm == HeadNorm::kWhole ? rms_norm(x_TX, norm_weight, norm_epsilon) : x_TX;
  at::Tensor x_THQ = clipped(whole).view({x_TX.size(0), -1, head_size});
  if (norm == HeadNorm::kEach) x_THQ = rms_norm(x_THQ, norm_weight, norm_epsilon);
  return rotate(x_THQ, context.cos_TF, context.sin_TF, false);
}

at::Tensor GroupedQueryAttention::forward(const at::Tensor& x_TD, const Context& context, int layer) {
  const int64_t width = groups * head_size;
  const at::Tensor q_THQ = turned(q_proj->forward(x_TD), q_norm, context);
  const at::Tensor k_TGQ = turned(k_proj->forward(x_TD), k_norm, context);
  const at::Tensor v = clipped(v_proj->forward(x_TD));
  std::vector<at::Tensor> outputs;
  outputs.reserve(context.segments.size());
  for (const Segment& segment : context.segments) {
    at::Tensor keys = k_TGQ.narrow(0, segment.begin, segment.length);
    at::Tensor values = v.narrow(0, segment.begin, segment.length);
    if (segment.cache) {
      // One row of the cache is a token's keys, then its values.
      const at::Tensor rows = (*segment.cache)[layer].append(at::cat({keys.flatten(1), values}, 1), segment.past);
      keys = rows.narrow(1, 0, width).unflatten(1, {groups, head_size});
      values = rows.narrow(1, width, width);
    }
    outputs.push_back(causal_attention(q_THQ.narrow(0, segment.begin, segment.length), keys,
                                       values.unflatten(1, {groups, head_size}), scale, window));
  }
  return o_proj->forward(outputs.size() == 1 ? outputs[0] : at::cat(outputs));
}

void GroupedQueryAttention::collect_slots(const std::string& prefix, int layer, std::vector<Slot>& slots) {
  slots.push_back({prefix + ".q_proj", Group::kAttention, layer, &q_proj, nullptr});
  slots.push_back({prefix + ".k_proj", Group::kAttention, layer, &k_proj, nullptr});
  slots.push_back({prefix + ".v_proj", Group::kAttention, layer, &v_proj, nullptr});
  slots.push_back({prefix + ".o_proj", Group::kAttention, layer, &o_proj, nullptr});
}

}  // namespace masbak::models

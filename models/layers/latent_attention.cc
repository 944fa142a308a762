// Shape letters beyond attention.h's: C = R + 2 F numbers kept of a token, X = H * V, B single tokens.
#include "models/layers/latent_attention.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/softmax.h>

#include <algorithm>
#include <limits>

#include "models/layers/fused.h"
#include "models/layers/packed_attention.h"

namespace masbak::models {
namespace {

// Up to this many new tokens behind a cache go through the absorbed form: it reads each latent once where
// the plain form would expand all of them to keys and values again.
constexpr int64_t kFewTokens = 8;

bool decodes(const Segment& segment) {
  return segment.cache && segment.past > 0 && segment.length <= kFewTokens && !c10::GradMode::is_enabled();
}

}  // namespace

at::Tensor LatentAttention::queries(const at::Tensor& x_TD, const Context& context) const {
  const at::Tensor q =
      q_proj ? q_proj->forward(x_TD) : q_b_proj->forward(rms_norm(q_a_proj->forward(x_TD), q_norm, norm_epsilon));
  return rotate(q.view({-1, heads, nope_size + rope_size}), context.cos_TF, context.sin_TF, interleaved);
}

at::Tensor LatentAttention::forward(const at::Tensor& x_TD, const Context& context, int layer) {
  const at::Tensor q_THQ = queries(x_TD, context);
  const std::vector<at::Tensor> kv_a = kv_a_proj->forward(x_TD).split_with_sizes({latent_size, rope_size}, 1);
  const at::Tensor latent_TR = rms_norm(kv_a[0], kv_norm, norm_epsilon);
  const at::Tensor shared_TP = rotate(kv_a[1].unsqueeze(1), context.cos_TF, context.sin_TF, interleaved).squeeze(1);
  const bool cached = std::any_of(context.segments.begin(), context.segments.end(),
                                  [](const Segment& segment) { return segment.cache != nullptr; });
  if (!cached && q_THQ.is_cpu()) return o_proj->forward(packed(q_THQ, latent_TR, shared_TP, context));
  const at::Tensor kept_TC = at::cat({latent_TR, shared_TP}, 1);

  const bool paged = can_attend_pages(kept_TC, latent_size);
  if (paged) keep_in_pages(pool_, context.segments, layer, kept_TC);
  std::vector<at::Tensor> rows;  // of each segment, what the cache held and the new ones; empty where pages are read
  std::vector<const Segment*> few;
  std::vector<at::Tensor> few_rows, few_queries;
  for (const Segment& segment : context.segments) {
    const at::Tensor own = kept_TC.narrow(0, segment.begin, segment.length);
    if (!paged) {
      rows.push_back(segment.cache ? (*segment.cache)[layer].append(own, segment.past) : own);
    } else if (decodes(segment)) {
      rows.emplace_back();
    } else {
      rows.push_back(segment.past > 0 ? rows_in_pages(*pool_, segment, layer) : own);
    }
    if (!decodes(segment)) continue;
    few.push_back(&segment);
    few_rows.push_back(rows.back());
    few_queries.push_back(q_THQ.narrow(0, segment.begin, segment.length));
  }
  if (few.empty()) return o_proj->forward(plain(q_THQ, kept_TC, context, rows));
  const bool all_few = few.size() == rows.size();
  const at::Tensor few_out = absorbed(all_few ? q_THQ : at::cat(few_queries), few, few_rows, layer);
  if (all_few) return o_proj->forward(few_out);
  std::vector<at::Tensor> outputs;
  int64_t taken = 0;
  for (size_t s = 0; s < rows.size(); ++s) {
    const Segment& segment = context.segments[s];
    if (decodes(segment)) {
      outputs.push_back(few_out.narrow(0, taken, segment.length));
      taken += segment.length;
    } else {
      const KeysAndValues kv = expand(rows[s]);
      outputs.push_back(
          causal_attention(q_THQ.narrow(0, segment.begin, segment.length), kv.keys_LHQ, kv.values_LHV, scale));
    }
  }
  return o_proj->forward(at::cat(outputs));
}

LatentAttention::KeysAndValues LatentAttention::expand(const at::Tensor& rows_LC) const {
  const int64_t length = rows_LC.size(0);
  const at::Tensor kv = kv_b_proj->forward(rows_LC.narrow(1, 0, latent_size)).view({length, heads, -1});
  const at::Tensor shared = rows_LC.narrow(1, latent_size, rope_size).unsqueeze(1);
  return {at::cat({kv.narrow(2, 0, nope_size), shared.expand({length, heads, rope_size})}, 2),
          kv.narrow(2, nope_size, value_size)};
}

at::Tensor LatentAttention::packed(const at::Tensor& q_THQ, const at::Tensor& latent_TR, const at::Tensor& shared_TP,
                                   const Context& context) const {
  const at::Tensor kv_THX = kv_b_proj->forward(latent_TR).view({latent_TR.size(0), heads, -1});
  return packed_latent_attention(q_THQ, kv_THX, shared_TP, value_size, scale, context.segments);
}

// Keys and values are written out. Where no segment has a past, one product makes those of all.
at::Tensor LatentAttention::plain(const at::Tensor& q_THQ, const at::Tensor& kept_TC, const Context& context,
                                  const std::vector<at::Tensor>& rows) const {
  const bool fresh = std::all_of(context.segments.begin(), context.segments.end(),
                                 [](const Segment& segment) { return segment.past == 0; });
  if (fresh && q_THQ.is_cpu()) {
    return packed(q_THQ, kept_TC.narrow(1, 0, latent_size), kept_TC.narrow(1, latent_size, rope_size), context);
  }
  const KeysAndValues all = fresh ? expand(kept_TC) : KeysAndValues();
  std::vector<at::Tensor> outputs;
  for (size_t s = 0; s < rows.size(); ++s) {
    const Segment& segment = context.segments[s];
    const KeysAndValues own = fresh ? KeysAndValues{all.keys_LHQ.narrow(0, segment.begin, segment.length),
                                                    all.values_LHV.narrow(0, segment.begin, segment.length)}
                                    : expand(rows[s]);
    outputs.push_back(
        causal_attention(q_THQ.narrow(0, segment.begin, segment.length), own.keys_LHQ, own.values_LHV, scale));
  }
  return outputs.size() == 1 ? outputs[0] : at::cat(outputs);
}

// With W the part of kv_b that makes keys, q · (W c) = (W^T q) · c: the query goes to the latent's space, where
// keys and values of all heads are the rows of the cache themselves (DeepSeek-V2, section 2.1.2).
at::Tensor LatentAttention::absorbed(const at::Tensor& q_BHQ, const std::vector<const Segment*>& segments,
                                     const std::vector<at::Tensor>& rows, int layer) {
  if (!kv_b_weight_.defined()) {
    kv_b_weight_ = kv_b_proj->weight().detach().view({heads, nope_size + value_size, latent_size});
  }
  const at::Tensor keys_HNR = kv_b_weight_.narrow(1, 0, nope_size);
  const at::Tensor values_HRV = kv_b_weight_.narrow(1, nope_size, value_size).transpose(1, 2);
  const at::Tensor q_HBQ = q_BHQ.transpose(0, 1);
  const at::Tensor q_HBC =
      at::cat({at::bmm(q_HBQ.narrow(2, 0, nope_size), keys_HNR), q_HBQ.narrow(2, nope_size, rope_size)}, 2);
  const at::Tensor seen_HBR = rows.front().defined() ? attend_latents(q_HBC, segments, rows)
                                                     : attend_pages(*pool_, segments, layer, q_HBC, latent_size, scale);
  return at::bmm(seen_HBR, values_HRV).transpose(0, 1).reshape({q_BHQ.size(0), heads * value_size});
}

at::Tensor LatentAttention::attend_latents(const at::Tensor& q_HBC, const std::vector<const Segment*>& segments,
                                           const std::vector<at::Tensor>& rows) const {
  at::Tensor out_HBR = at::empty({heads, q_HBC.size(1), latent_size}, q_HBC.options());
  std::vector<int64_t> begins{0};
  for (const Segment* segment : segments) begins.push_back(begins.back() + segment->length);
  const auto attend = [&](int64_t first, int64_t last) {
    const at::NoGradGuard no_grad;  // the mode is a thread's own
    for (int64_t s = first; s < last; ++s) {
      const int64_t n = segments[s]->length, past = segments[s]->past;
      const at::Tensor& rows_LC = rows[s];
      const at::Tensor q = q_HBC.narrow(1, begins[s], n).reshape({heads * n, -1});
      at::Tensor scores = at::mm(q, rows_LC.t()).to(at::kFloat).mul_(scale).view({heads, n, -1});
      for (int64_t i = 0; i + 1 < n; ++i) {  // token i does not see those behind it
        scores.select(1, i).narrow(1, past + i + 1, n - i - 1).fill_(-std::numeric_limits<float>::infinity());
      }
      const at::Tensor weights = at::softmax(scores, -1).to(rows_LC.scalar_type()).flatten(0, 1);
      const at::Tensor seen = at::mm(weights, rows_LC.narrow(1, 0, latent_size));
      out_HBR.narrow(1, begins[s], n).copy_(seen.view({heads, n, latent_size}));
    }
  };
  const int64_t count = static_cast<int64_t>(segments.size());
  if (count > 1) {
    at::parallel_for(0, count, 1, attend);
  } else {
    attend(0, 1);
  }
  return out_HBR;
}

std::unique_ptr<Attention> LatentAttention::clone() const {
  auto copy = std::make_unique<LatentAttention>(*this);
  copy->pool_ = std::make_shared<LatentPool>();
  return copy;
}

void LatentAttention::collect_slots(const std::string& prefix, int layer, std::vector<Slot>& slots) {
  const auto add = [&](const char* name, std::shared_ptr<Projection>& projection) {
    if (projection) slots.push_back({prefix + name, Group::kAttention, layer, &projection, nullptr});
  };
  add(".q_proj", q_proj);
  add(".q_a_proj", q_a_proj);
  add(".q_b_proj", q_b_proj);
  add(".kv_a_proj_with_mqa", kv_a_proj);
  add(".kv_b_proj", kv_b_proj);
  add(".o_proj", o_proj);
}

}  // namespace masbak::models

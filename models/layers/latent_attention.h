// Multi-head latent attention: keys and values of all heads are made from one small latent a token, and
// only the latent and one rotary key shared by all heads are kept.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/layers/attention.h"
#include "models/layers/paged_latents.h"

namespace masbak::models {

struct LatentAttention final : Attention {
  int64_t heads = 0, nope_size = 0, rope_size = 0, value_size = 0, latent_size = 0;
  double scale = 1.0, norm_epsilon = 1e-6;
  bool interleaved = true;
  // Either q_proj, or q_a_proj, q_norm and q_b_proj.
  std::shared_ptr<Projection> q_proj, q_a_proj, q_b_proj;
  at::Tensor q_norm, kv_norm;
  std::shared_ptr<Projection> kv_a_proj, kv_b_proj, o_proj;

  at::Tensor forward(const at::Tensor& x_TD, const Context& context, int layer) override;
  void collect_slots(const std::string& prefix, int layer, std::vector<Slot>& slots) override;
  // A copy keeps its sequences in pages of its own.
  std::unique_ptr<Attention> clone() const override;
  void weights_changed() override { kv_b_weight_ = at::Tensor(); }

 private:
  struct KeysAndValues {
    at::Tensor keys_LHQ, values_LHV;
  };
  at::Tensor queries(const at::Tensor& x_TD, const Context& context) const;
  KeysAndValues expand(const at::Tensor& rows_LC) const;
  // Of sequences without a past.
  at::Tensor packed(const at::Tensor& q_THQ, const at::Tensor& latent_TR, const at::Tensor& shared_TP,
                    const Context& context) const;
  at::Tensor plain(const at::Tensor& q_THQ, const at::Tensor& kept_TC, const Context& context,
                   const std::vector<at::Tensor>& rows) const;
  at::Tensor absorbed(const at::Tensor& q_BHQ, const std::vector<const Segment*>& segments,
                      const std::vector<at::Tensor>& rows, int layer);
  at::Tensor attend_latents(const at::Tensor& q_HBC, const std::vector<const Segment*>& segments,
                            const std::vector<at::Tensor>& rows) const;

  std::shared_ptr<LatentPool> pool_ = std::make_shared<LatentPool>();  // holds pages where can_attend_pages
  at::Tensor kv_b_weight_;  // [H, nope + V, R], adapters included, for the absorbed form
};

}  // namespace masbak::models

#include "models/layers/projection.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>

#include <utility>

#include "base/error.h"
#include "models/layers/differentiable.h"
#include "models/layers/grouped_linear.h"
#include "models/layers/matrix_product.h"
#include "models/layers/projection_steps.h"

namespace masbak::models {
namespace {

// dy W
at::Tensor product_back(const at::Tensor& dy_TO, const at::Tensor& w_OI) {
  const at::NoGradGuard no_grad;
  const at::Tensor w_IO = w_OI.t();
  return takes_product(dy_TO, w_IO) ? matrix_product(dy_TO, w_IO) : at::mm(dy_TO, w_OI);
}

class PlainProjection final : public BackwardProjection {
 public:
  PlainProjection(at::Tensor w_OI, const at::Tensor& b_O)
      : w_OI_(std::move(w_OI)), b_O_(b_O.defined() ? b_O.contiguous() : b_O) {}

  at::Tensor forward(const at::Tensor& x_TI) const override {
    const bool trains = w_OI_.requires_grad() || (b_O_.defined() && b_O_.requires_grad());
    if (trains || !takes_product(x_TI, w_OI_)) return at::linear(x_TI, w_OI_, b_O_);
    at::Tensor y_TO;
    {
      const at::NoGradGuard no_grad;
      y_TO = at::empty({x_TI.size(0), out_features()}, x_TI.options());
      matrix_products({{y_TO, x_TI, w_OI_, {}, {}, b_O_}}, 1, false);
    }
    return differentiable(y_TO, {x_TI}, [w = w_OI_](const at::Tensor& dy_TO, const std::vector<bool>&) {
      return std::vector<at::Tensor>{product_back(dy_TO, w)};
    });
  }
  at::Tensor weight() const override { return w_OI_; }
  at::Tensor bias() const override { return b_O_; }
  at::Tensor multiply_back(const at::Tensor& dy_TO) const override { return product_back(dy_TO, w_OI_); }
  at::Tensor stored_weight() const override { return w_OI_; }
  int64_t in_features() const override { return w_OI_.size(1); }
  int64_t out_features() const override { return w_OI_.size(0); }

 private:
  at::Tensor w_OI_, b_O_;
};

class PlainExpertProjection final : public ExpertSteps {
 public:
  explicit PlainExpertProjection(at::Tensor w_EOI) : w_EOI_(std::move(w_EOI)) {}

  at::Tensor multiply(const at::Tensor& x_TI, const std::vector<int64_t>& offsets, Kept*) const override {
    return grouped_product(x_TI, w_EOI_, offsets);
  }
  at::Tensor multiply_back(const at::Tensor& dy_TO, const std::vector<int64_t>& offsets, Kept*,
                           bool wanted) const override {
    return wanted ? grouped_product(dy_TO, w_EOI_.transpose(1, 2), offsets) : at::Tensor();
  }
  ChangedProduct multiply_changed(const at::Tensor& x_TI, const std::vector<int64_t>& offsets,
                                  const LowRank& change) const override {
    return grouped_changed_product(x_TI, w_EOI_, change.a, change.b, change.scale, offsets);
  }
  ChangedProduct multiply_back_changed(const at::Tensor& dy_TO, const std::vector<int64_t>& offsets,
                                       const LowRank& change) const override {
    return grouped_changed_product(dy_TO, w_EOI_.transpose(1, 2), change.b.transpose(1, 2), change.a.transpose(1, 2),
                                   change.scale, offsets);
  }
  // The weight itself, where it asks for a gradient.
  std::vector<at::Tensor> trained() const override {
    return w_EOI_.requires_grad() ? std::vector<at::Tensor>{w_EOI_} : std::vector<at::Tensor>{};
  }
  std::vector<at::Tensor> gradients(const at::Tensor& x_TI, const at::Tensor& dy_TO, const at::Tensor& weights_T,
                                    const std::vector<int64_t>& offsets, const Kept&) const override {
    if (!w_EOI_.requires_grad()) return {};
    const at::Tensor dy = weights_T.defined() ? (dy_TO * weights_T.unsqueeze(1)).to(dy_TO.scalar_type()) : dy_TO;
    return {grouped_outer(dy, x_TI, offsets)};
  }
  at::Tensor weight() const override { return w_EOI_; }
  int64_t experts() const override { return w_EOI_.size(0); }
  int64_t in_features() const override { return w_EOI_.size(2); }
  int64_t out_features() const override { return w_EOI_.size(1); }

 private:
  at::Tensor w_EOI_;
};

class PlainEmbedding final : public TokenEmbedding {
 public:
  explicit PlainEmbedding(at::Tensor w_VD) : w_VD_(std::move(w_VD)) {}

  at::Tensor forward(const at::Tensor& ids_T) const override { return at::embedding(w_VD_, ids_T); }
  at::Tensor weight() const override { return w_VD_; }

 private:
  at::Tensor w_VD_;
};

}  // namespace

std::shared_ptr<TokenEmbedding> make_embedding(at::Tensor w_VD) {
  if (w_VD.dim() != 2) throw base::Error(base::Code::kInternal, "an embedding needs a weight [vocabulary, hidden]");
  return std::make_shared<PlainEmbedding>(std::move(w_VD));
}

std::shared_ptr<Projection> make_projection(at::Tensor w_OI, const at::Tensor& b_O) {
  if (w_OI.dim() != 2 || (b_O.defined() && (b_O.dim() != 1 || b_O.size(0) != w_OI.size(0)))) {
    throw base::Error(base::Code::kInternal, "a projection needs a weight [out, in] and a bias [out]");
  }
  return std::make_shared<PlainProjection>(std::move(w_OI), b_O);
}

std::shared_ptr<ExpertProjection> make_expert_projection(at::Tensor w_EOI) {
  if (w_EOI.dim() != 3) {
    throw base::Error(base::Code::kInternal, "an expert projection needs a weight [experts, out, in]");
  }
  return std::make_shared<PlainExpertProjection>(std::move(w_EOI));
}

const char* group_name(Group group) {
  switch (group) {
    case Group::kAttention: return "attention";
    case Group::kExperts: return "experts";
    case Group::kSharedExperts: return "shared_experts";
    case Group::kDenseMlp: return "dense_mlp";
    case Group::kRouter: return "router";
    case Group::kHead: return "head";
    case Group::kEmbedding: return "embedding";
  }
  return "unknown";
}

}  // namespace masbak::models

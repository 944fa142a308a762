#include "adapters/layers.h"

#include <ATen/ATen.h>

#include <utility>

#include "base/error.h"
#include "models/layers/grouped_linear.h"

namespace masbak::adapters {
namespace {

// The input of A. A row that dropout keeps is scaled up, so that the expectation stays.
at::Tensor drop(const at::Tensor& x_TI, const LoraDropout* dropout) {
  if (!dropout || !dropout->training || dropout->probability == 0) return x_TI;
  const double keep = 1 - dropout->probability;
  return x_TI * at::empty_like(x_TI).bernoulli_(keep, dropout->generator).div_(keep);
}

class LoraProjection final : public models::Projection {
 public:
  LoraProjection(std::shared_ptr<models::Projection> base, LoraFactors factors, std::shared_ptr<LoraDropout> dropout)
      : base_(std::move(base)), factors_(std::move(factors)), dropout_(std::move(dropout)) {}

  at::Tensor forward(const at::Tensor& x_TI) const override {
    const at::Tensor a_RI = factors_.a.to(x_TI.scalar_type()), b_OR = factors_.b.to(x_TI.scalar_type());
    const at::Tensor h_TR = at::mm(drop(x_TI, dropout_.get()), a_RI.t());
    // Added in place: the wide result is written once, and nothing needs the base's part alone.
    at::Tensor y_TO = base_->forward(x_TI);
    if (y_TO.scalar_type() == h_TR.scalar_type()) return y_TO.addmm_(h_TR, b_OR.t(), 1, factors_.scale);
    return y_TO.add_(at::mm(h_TR, b_OR.t()), factors_.scale);
  }
  at::Tensor weight() const override { return merged_weight(base_->weight(), factors_); }
  at::Tensor bias() const override { return base_->bias(); }
  int64_t in_features() const override { return base_->in_features(); }
  int64_t out_features() const override { return base_->out_features(); }

 private:
  std::shared_ptr<models::Projection> base_;
  LoraFactors factors_;
  std::shared_ptr<LoraDropout> dropout_;
};

class LoraExpertProjection final : public models::ExpertProjection {
 public:
  LoraExpertProjection(std::shared_ptr<models::ExpertProjection> base, LoraFactors factors)
      : base_(std::move(base)), factors_(std::move(factors)) {}

  at::Tensor forward(const at::Tensor& x_TI, const std::vector<int64_t>& offsets) const override {
    const at::Tensor a_ERI = factors_.a.to(x_TI.scalar_type()), b_EOR = factors_.b.to(x_TI.scalar_type());
    // The scale goes to the narrow side: T x R numbers instead of T x O.
    const at::Tensor h_TR = models::grouped_linear(x_TI, a_ERI, offsets) * factors_.scale;
    return base_->forward(x_TI, offsets).add_(models::grouped_linear(h_TR, b_EOR, offsets));
  }
  at::Tensor weight() const override { return merged_weight(base_->weight(), factors_); }
  int64_t experts() const override { return base_->experts(); }
  int64_t in_features() const override { return base_->in_features(); }
  int64_t out_features() const override { return base_->out_features(); }

 private:
  std::shared_ptr<models::ExpertProjection> base_;
  LoraFactors factors_;
};

}  // namespace

std::shared_ptr<models::Projection> wrap_linear(std::shared_ptr<models::Projection> base, LoraFactors factors,
                                                std::shared_ptr<LoraDropout> dropout) {
  if (factors.a.dim() != 2 || factors.b.dim() != 2 || factors.a.size(1) != base->in_features() ||
      factors.b.size(0) != base->out_features() || factors.a.size(0) != factors.b.size(1)) {
    throw base::Error(base::Code::kInternal, "LoRA on a linear needs A [rank, in] and B [out, rank]");
  }
  return std::make_shared<LoraProjection>(std::move(base), std::move(factors), std::move(dropout));
}

std::shared_ptr<models::ExpertProjection> wrap_experts(std::shared_ptr<models::ExpertProjection> base,
                                                       LoraFactors factors) {
  const at::Tensor &a = factors.a, &b = factors.b;
  if (a.dim() != 3 || b.dim() != 3 || a.size(0) != base->experts() || b.size(0) != base->experts() ||
      a.size(2) != base->in_features() || b.size(1) != base->out_features() || a.size(1) != b.size(2)) {
    throw base::Error(base::Code::kInternal, "LoRA on experts needs A [experts, rank, in] and B [experts, out, rank]");
  }
  return std::make_shared<LoraExpertProjection>(std::move(base), std::move(factors));
}

at::Tensor merged_weight(const at::Tensor& weight, const LoraFactors& factors) {
  const auto type = weight.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor delta = at::matmul(factors.b.to(type), factors.a.to(type)).mul_(factors.scale);
  return delta.add_(weight.to(type)).to(weight.scalar_type());
}

}  // namespace masbak::adapters

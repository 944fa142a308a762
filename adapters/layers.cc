#include "adapters/layers.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mm.h>

#include <mutex>
#include <utility>

#include "base/error.h"
#include "models/layers/differentiable.h"
#include "models/layers/grouped_linear.h"
#include "models/layers/projection_steps.h"
#include "models/layers/trained_product.h"

namespace masbak::adapters {
namespace {

// The input of A. A row that dropout keeps is scaled up, so that the expectation stays.
at::Tensor drop(const at::Tensor& x_TI, const LoraDropout* dropout) {
  if (!dropout || !dropout->training || dropout->probability == 0) return x_TI;
  const double keep = 1 - dropout->probability;
  // Drawn on the CPU: the same choice on every device.
  const at::Tensor kept = at::empty(x_TI.sizes(), x_TI.options().device(at::kCPU)).bernoulli_(keep, dropout->generator);
  return x_TI * kept.div_(keep).to(x_TI.device());
}

at::ScalarType wide(const at::Tensor& weight) { return weight.scalar_type() == at::kDouble ? at::kDouble : at::kFloat; }

// scale · (B A - B0 A0)
at::Tensor delta(const LoraFactors& factors, at::ScalarType type) {
  const at::Tensor change = at::matmul(factors.b.to(type), factors.a.to(type));
  if (factors.start_a.defined()) change.sub_(at::matmul(factors.start_b.to(type), factors.start_a.to(type)));
  return change.mul_(factors.scale);
}

// The norms of the last product, kept until A or B changes: a model in use asks for them at every token.
class NormCache {
 public:
  template <typename Compute>
  at::Tensor get(const LoraFactors& factors, const Compute& compute) {
    const std::pair<int64_t, int64_t> version{factors.a._version(), factors.b._version()};
    const std::lock_guard lock(mutex_);
    if (!norms_.defined() || version != version_) {
      const at::NoGradGuard no_grad;
      norms_ = compute();
      version_ = version;
    }
    return norms_;
  }

 private:
  std::mutex mutex_;
  at::Tensor norms_;
  std::pair<int64_t, int64_t> version_;
};

// A and B in the type of the products, cast anew when they have changed: once a step instead of once a call.
class FactorCasts {
 public:
  models::LowRank get(const LoraFactors& factors, at::ScalarType type) {
    const std::pair<int64_t, int64_t> version{factors.a._version(), factors.b._version()};
    const std::lock_guard lock(mutex_);
    if (!change_.a.defined() || change_.a.scalar_type() != type || version != version_) {
      const at::NoGradGuard no_grad;
      change_ = {factors.a.detach().to(type), factors.b.detach().to(type), factors.scale};
      version_ = version;
    }
    return change_;
  }

 private:
  std::mutex mutex_;
  models::LowRank change_;
  std::pair<int64_t, int64_t> version_;
};

class LoraProjection final : public models::Projection {
 public:
  LoraProjection(std::shared_ptr<models::Projection> base, LoraFactors factors, std::shared_ptr<LoraDropout> dropout)
      : base_(std::move(base)), factors_(std::move(factors)), dropout_(std::move(dropout)) {}

  at::Tensor forward(const at::Tensor& x_TI) const override {
    const bool drops = dropout_ && dropout_->training && dropout_->probability > 0;
    const bool plain = !factors_.magnitude_O.defined() && !factors_.bias_O.defined() && !factors_.start_a.defined();
    if (plain && !drops) return joined(x_TI);
    const at::Tensor dropped_TI = drop(x_TI, dropout_.get());
    const at::Tensor h_TR = models::trained_product(dropped_TI, factors_.a);
    if (factors_.magnitude_O.defined()) return with_magnitude(x_TI, dropped_TI, h_TR);
    // Added in place: the wide result is written once, and nothing needs the base's part alone.
    at::Tensor y_TO = models::add_trained_product(base_->forward(x_TI), h_TR, factors_.b, factors_.scale);
    if (factors_.bias_O.defined()) y_TO = y_TO.add_(factors_.bias_O.to(y_TO.scalar_type()), factors_.scale);
    if (!factors_.start_a.defined()) return y_TO;
    const at::Tensor start_TR = models::trained_product(x_TI, factors_.start_a);
    return models::add_trained_product(y_TO, start_TR, factors_.start_b, -factors_.scale);
  }
  at::Tensor weight() const override { return merged_weight(base_->weight(), factors_); }
  at::Tensor bias() const override {
    if (!factors_.bias_O.defined()) return base_->bias();
    at::Tensor bias_O = factors_.bias_O * factors_.scale;
    if (factors_.magnitude_O.defined()) bias_O = bias_O * ratio();
    return base_->bias().defined() ? base_->bias() + bias_O.to(base_->bias().scalar_type()) : bias_O;
  }
  int64_t in_features() const override { return base_->in_features(); }
  int64_t out_features() const override { return base_->out_features(); }

 private:
  // The base's product and the low-rank one as one node. It keeps x, which the node before has made, and T x R numbers.
  at::Tensor joined(const at::Tensor& x_TI) const {
    const models::LowRank change = casts_.get(factors_, x_TI.scalar_type());
    const models::ChangedProduct result = models::multiply_changed(*base_, x_TI, change);
    const auto back = [base = base_, x = x_TI.detach(), h_TR = result.h_TR, change](const at::Tensor& dy_TO,
                                                                                    const std::vector<bool>& wanted) {
      const at::Tensor dy = dy_TO.to(x.scalar_type());
      const std::vector<int64_t> all{0, x.size(0)};
      std::vector<at::Tensor> gradients(3);
      at::Tensor dh_TR;
      if (wanted[0]) {
        const models::ChangedProduct of_x = models::multiply_back_changed(*base, dy, change);
        gradients[0] = of_x.y_TO.to(x.scalar_type());
        dh_TR = of_x.h_TR;
      } else {
        dh_TR = models::grouped_product(dy, change.b.t().unsqueeze(0), all).mul_(change.scale);
      }
      if (wanted[1]) gradients[1] = models::grouped_outer(dh_TR, x, all).squeeze(0);
      if (wanted[2]) gradients[2] = models::grouped_outer(dy, h_TR, all).squeeze(0);
      return gradients;
    };
    return models::differentiable(result.y_TO, {x_TI, factors_.a, factors_.b}, back);
  }

  at::Tensor ratio() const {
    return factors_.magnitude_O / norms_.get(factors_, [&] { return row_norms(base_->weight(), factors_); });
  }

  // As PEFT: with dropout the base's own part is that of the dropped input, weighted by how far the norm is off.
  at::Tensor with_magnitude(const at::Tensor& x_TI, const at::Tensor& dropped_TI, const at::Tensor& h_TR) const {
    const at::Tensor ratio_O = ratio(), bias_O = base_->bias();
    const at::Tensor y_TO = base_->forward(x_TI);
    at::Tensor plain_TO = dropped_TI.is_same(x_TI) ? y_TO : base_->forward(dropped_TI);
    if (bias_O.defined()) plain_TO = plain_TO - bias_O.to(plain_TO.scalar_type());
    at::Tensor lora_TO = models::trained_product(h_TR, factors_.b);
    if (factors_.bias_O.defined()) lora_TO = lora_TO + factors_.bias_O.to(lora_TO.scalar_type());
    const auto type = y_TO.scalar_type();
    return y_TO + plain_TO * (ratio_O - 1).to(type) + lora_TO.to(type) * (ratio_O * factors_.scale).to(type);
  }

  std::shared_ptr<models::Projection> base_;
  LoraFactors factors_;
  std::shared_ptr<LoraDropout> dropout_;
  mutable NormCache norms_;
  mutable FactorCasts casts_;
};

// A whole weight of its own, kept in float32 while it trains.
class FullProjection final : public models::Projection {
 public:
  FullProjection(std::shared_ptr<models::Projection> base, at::Tensor full_OI)
      : base_(std::move(base)), full_OI_(std::move(full_OI)) {}

  at::Tensor forward(const at::Tensor& x_TI) const override {
    const at::Tensor bias_O = base_->bias(), y_TO = models::trained_product(x_TI, full_OI_);
    return bias_O.defined() ? y_TO + bias_O.to(y_TO.scalar_type()) : y_TO;
  }
  at::Tensor weight() const override { return full_OI_; }
  at::Tensor bias() const override { return base_->bias(); }
  int64_t in_features() const override { return base_->in_features(); }
  int64_t out_features() const override { return base_->out_features(); }

 private:
  std::shared_ptr<models::Projection> base_;
  at::Tensor full_OI_;
};

class LoraEmbedding final : public models::TokenEmbedding {
 public:
  LoraEmbedding(std::shared_ptr<models::TokenEmbedding> base, LoraFactors factors)
      : base_(std::move(base)), factors_(std::move(factors)) {}

  at::Tensor forward(const at::Tensor& ids_T) const override {
    if (factors_.full.defined()) return at::embedding(factors_.full, ids_T).to(base_->weight().scalar_type());
    const at::Tensor y_TD = base_->forward(ids_T);
    const at::Tensor a_TR = at::embedding(factors_.a.t(), ids_T);
    at::Tensor change_TD = at::mm(a_TR, factors_.b.t()) * factors_.scale;
    if (!factors_.magnitude_O.defined()) return y_TD + change_TD.to(y_TD.scalar_type());
    const at::Tensor norms_D = norms_.get(factors_, [&] { return column_norms(base_->weight(), factors_); });
    const at::Tensor ratio_D = factors_.magnitude_O / norms_D;
    return y_TD * ratio_D.to(y_TD.scalar_type()) + (change_TD * ratio_D).to(y_TD.scalar_type());
  }
  at::Tensor weight() const override { return merged_embedding(base_->weight(), factors_); }

 private:
  std::shared_ptr<models::TokenEmbedding> base_;
  LoraFactors factors_;
  mutable NormCache norms_;
};

class LoraExpertProjection final : public models::ExpertSteps {
 public:
  LoraExpertProjection(const std::shared_ptr<models::ExpertProjection>& base, LoraFactors factors)
      : base_(models::steps_of(base)), factors_(std::move(factors)) {}

  // kept: scale * x A^T, and from multiply_back on scale * dy B.
  at::Tensor multiply(const at::Tensor& x_TI, const std::vector<int64_t>& offsets, Kept* kept) const override {
    const models::LowRank change = casts_.get(factors_, x_TI.scalar_type());
    models::ChangedProduct result = base_->multiply_changed(x_TI, offsets, change);
    if (factors_.start_a.defined()) {
      const models::LowRank start = start_factors(x_TI.scalar_type());
      const at::Tensor start_TR = models::grouped_product(x_TI, start.a, offsets);
      models::add_grouped_product(result.y_TO, start_TR, start.b, -start.scale, offsets);
    }
    if (kept) kept->push_back(result.h_TR);
    return result.y_TO;
  }
  at::Tensor multiply_back(const at::Tensor& dy_TO, const std::vector<int64_t>& offsets, Kept* kept,
                           bool wanted) const override {
    const models::LowRank change = casts_.get(factors_, dy_TO.scalar_type());
    if (!wanted) {
      if (kept) {
        kept->push_back(models::grouped_product(dy_TO, change.b.transpose(1, 2), offsets).mul_(change.scale));
      }
      return {};
    }
    models::ChangedProduct result = base_->multiply_back_changed(dy_TO, offsets, change);
    if (kept) kept->push_back(result.h_TR);
    if (factors_.start_a.defined()) {
      const models::LowRank start = start_factors(dy_TO.scalar_type());
      const at::Tensor start_TR = models::grouped_product(dy_TO, start.b.transpose(1, 2), offsets);
      models::add_grouped_product(result.y_TO, start_TR, start.a.transpose(1, 2), -start.scale, offsets);
    }
    return result.y_TO;
  }
  std::vector<at::Tensor> trained() const override { return {factors_.a, factors_.b}; }
  std::vector<at::Tensor> gradients(const at::Tensor& x_TI, const at::Tensor& dy_TO, const at::Tensor& weights_T,
                                    const std::vector<int64_t>& offsets, const Kept& kept) const override {
    // The weights go to the narrow side: T x R numbers instead of T x O.
    const auto weighted = [&](const at::Tensor& h_TR) {
      return weights_T.defined() ? (h_TR * weights_T.unsqueeze(1)).to(h_TR.scalar_type()) : h_TR;
    };
    return {models::grouped_outer(weighted(kept[1]), x_TI, offsets).to(factors_.a.scalar_type()),
            models::grouped_outer(dy_TO, weighted(kept[0]), offsets).to(factors_.b.scalar_type())};
  }
  at::Tensor weight() const override { return merged_weight(base_->weight(), factors_); }
  int64_t experts() const override { return base_->experts(); }
  int64_t in_features() const override { return base_->in_features(); }
  int64_t out_features() const override { return base_->out_features(); }

 private:
  models::LowRank start_factors(at::ScalarType type) const {
    return {factors_.start_a.to(type), factors_.start_b.to(type), factors_.scale};
  }

  std::shared_ptr<const models::ExpertSteps> base_;
  LoraFactors factors_;
  mutable FactorCasts casts_;
};

}  // namespace

std::shared_ptr<models::Projection> wrap_linear(std::shared_ptr<models::Projection> base, LoraFactors factors,
                                                std::shared_ptr<LoraDropout> dropout) {
  if (factors.full.defined()) return std::make_shared<FullProjection>(std::move(base), std::move(factors.full));
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
  return std::make_shared<LoraExpertProjection>(base, std::move(factors));
}

std::shared_ptr<models::TokenEmbedding> wrap_embedding(std::shared_ptr<models::TokenEmbedding> base,
                                                       LoraFactors factors) {
  return std::make_shared<LoraEmbedding>(std::move(base), std::move(factors));
}

at::Tensor row_norms(const at::Tensor& weight, const LoraFactors& factors) {
  const auto type = wide(weight);
  return at::linalg_vector_norm(delta(factors, type).add_(weight.to(type)), 2, 1).to(at::kFloat);
}

at::Tensor column_norms(const at::Tensor& weight_VD, const LoraFactors& factors) {
  return row_norms(weight_VD.t(), factors);
}

at::Tensor merged_weight(const at::Tensor& weight, const LoraFactors& factors) {
  if (factors.full.defined()) return factors.full.to(weight.scalar_type());
  const auto type = wide(weight);
  at::Tensor sum = delta(factors, type).add_(weight.to(type));
  if (factors.magnitude_O.defined()) {
    sum = sum * (factors.magnitude_O.to(type) / at::linalg_vector_norm(sum, 2, 1)).unsqueeze(1);
  }
  return sum.to(weight.scalar_type());
}

at::Tensor merged_embedding(const at::Tensor& weight_VD, const LoraFactors& factors) {
  if (factors.full.defined()) return factors.full.to(weight_VD.scalar_type());
  return merged_weight(weight_VD.t(), factors).t();
}

}  // namespace masbak::adapters

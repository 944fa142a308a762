#include "models/layers/rotary.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace masbak::models {
namespace {

// YaRN's temperature (Peng et al. 2023, section 3.4).
double yarn_mscale(double factor, double mscale) { return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0; }

double positive(const base::Fields& fields, const std::string& key, double value) {
  if (!(value > 0)) fields.fail(key, "must be above zero, found " + std::to_string(value));
  return value;
}

at::Tensor factors(const base::Fields& fields, const std::string& key, int64_t count) {
  const std::vector<double> values = fields.get<std::vector<double>>(key);
  if (static_cast<int64_t>(values.size()) != count) {
    fields.fail(key, "expected " + std::to_string(count) + " factors, one for each rotary frequency, found " +
                         std::to_string(values.size()));
  }
  return at::tensor(at::ArrayRef<double>(values)).to(at::kFloat);
}

std::string rope_type(const base::Fields& fields) {
  return fields.get<std::string>("rope_type", fields.get<std::string>("type", "default"));
}

}  // namespace

// Frequencies are computed in float32 in the order of transformers' operations: an angle is a frequency times
// a position of thousands, so a difference in the last digit would show.
at::Tensor Rotary::plain_frequencies(double theta) const {
  const at::Tensor exponents = at::arange(0, size_, 2, at::TensorOptions().dtype(at::kFloat)) / size_;
  return at::pow(theta, exponents).reciprocal();
}

Rotary Rotary::read(const base::Fields& config, int64_t size, int64_t max_positions, double default_theta) {
  Rotary rotary;
  rotary.size_ = size;
  rotary.max_positions_ = max_positions;
  const double theta = config.get<double>("rope_theta", default_theta);
  // rope_scaling wins if both are there and it says anything, as in transformers.
  const bool older = config.has("rope_scaling") && !config.raw("rope_scaling").empty();
  const base::Fields fields = older ? config.child("rope_scaling") : config.child("rope_parameters");
  config.accept({"rope_parameters", "rope_scaling"});
  rotary.theta_ = positive(fields, "rope_theta", fields.get<double>("rope_theta", theta));
  rotary.type_ = rope_type(fields);
  if (fields.get<double>("partial_rotary_factor", config.get<double>("partial_rotary_factor", 1.0)) != 1.0) {
    throw base::Error(base::Code::kUnimplemented, "a rotary embedding of a part of each head is not implemented",
                      fields.where("partial_rotary_factor"));
  }
  const int64_t inside = fields.get<int64_t>("original_max_position_embeddings", max_positions);
  rotary.original_positions_ = config.get<int64_t>("original_max_position_embeddings", inside);
  if (rotary.original_positions_ < 1) fields.fail("original_max_position_embeddings", "must be at least 1");
  const double ratio = static_cast<double>(max_positions) / rotary.original_positions_;
  const bool stretched = rotary.type_ == "yarn" || rotary.type_ == "longrope";
  rotary.factor_ = positive(fields, "factor", fields.get<double>("factor", stretched ? ratio : 1.0));
  rotary.frequencies_ = rotary.plain_frequencies(rotary.theta_);
  if (rotary.type_ == "dynamic" && size == 2) {
    fields.fail("rope_type", "dynamic needs heads of more than two rotated features");
  }
  if (rotary.type_ == "linear") {
    rotary.frequencies_ = rotary.frequencies_ / rotary.factor_;
  } else if (rotary.type_ == "yarn") {
    rotary.read_yarn(fields, rotary.factor_);
  } else if (rotary.type_ == "longrope") {
    rotary.read_longrope(fields);
  } else if (rotary.type_ == "llama3") {
    rotary.read_llama3(fields, rotary.factor_);
  } else if (rotary.type_ != "default" && rotary.type_ != "dynamic") {
    throw base::Error(base::Code::kUnimplemented,
                      "rotary type \"" + rotary.type_ +
                          "\" is not implemented; there are default, linear, dynamic, yarn, longrope and llama3",
                      fields.where("rope_type"));
  }
  const double all_dimensions = fields.get<double>("mscale_all_dim", 0.0);
  if (rotary.type_ != "default" && all_dimensions != 0) {
    const double mscale = yarn_mscale(rotary.factor_, all_dimensions);
    rotary.attention_scale_ = mscale * mscale;
  }
  fields.finish();
  return rotary;
}

void Rotary::read_yarn(const base::Fields& fields, double factor) {
  const double mscale = fields.get<double>("mscale", 0.0), all_dimensions = fields.get<double>("mscale_all_dim", 0.0);
  attention_factor_ = mscale != 0 && all_dimensions != 0
                          ? yarn_mscale(factor, mscale) / yarn_mscale(factor, all_dimensions)
                          : yarn_mscale(factor, 1.0);
  attention_factor_ = fields.get<double>("attention_factor", attention_factor_);
  const double fast = fields.get<double>("beta_fast", 32.0), slow = fields.get<double>("beta_slow", 1.0);
  // The dimension that turns `rotations` times within the original length.
  const auto dimension = [&](double rotations) {
    return size_ * std::log(original_positions_ / (rotations * 2 * std::numbers::pi)) / (2 * std::log(theta_));
  };
  double low = dimension(fast), high = dimension(slow);
  if (fields.get<bool>("truncate", true)) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(size_ - 1));
  if (low == high) high += 0.001;
  const at::Tensor ramp =
      at::clamp((at::arange(size_ / 2, at::TensorOptions().dtype(at::kFloat)) - low) / (high - low), 0, 1);
  const at::Tensor exponents = at::arange(0, size_, 2, at::TensorOptions().dtype(at::kFloat)) / size_;
  const at::Tensor stretched = (factor * at::pow(theta_, exponents)).reciprocal();
  const at::Tensor keep = 1 - ramp;
  frequencies_ = stretched * (1 - keep) + frequencies_ * keep;
}

void Rotary::read_longrope(const base::Fields& fields) {
  const double by_length =
      factor_ <= 1 ? 1.0 : std::sqrt(1 + std::log(factor_) / std::log(static_cast<double>(original_positions_)));
  attention_factor_ = fields.get<double>("attention_factor", by_length);
  const at::Tensor exponents = at::arange(0, size_, 2, at::TensorOptions().dtype(at::kFloat)) / size_;
  const at::Tensor powers = at::pow(theta_, exponents);
  frequencies_ = (factors(fields, "short_factor", size_ / 2) * powers).reciprocal();
  long_frequencies_ = (factors(fields, "long_factor", size_ / 2) * powers).reciprocal();
}

void Rotary::read_llama3(const base::Fields& fields, double factor) {
  const double low = positive(fields, "low_freq_factor", fields.get<double>("low_freq_factor"));
  const double high = positive(fields, "high_freq_factor", fields.get<double>("high_freq_factor"));
  if (high <= low) fields.fail("high_freq_factor", "must be above low_freq_factor");
  const double positions = static_cast<double>(original_positions_);
  const at::Tensor wavelength = 2 * std::numbers::pi / frequencies_;
  const at::Tensor slow = at::where(wavelength > positions / low, frequencies_ / factor, frequencies_);
  const at::Tensor smooth = (positions / wavelength - low) / (high - low);
  const at::Tensor between = (1 - smooth) * slow / factor + smooth * slow;
  const at::Tensor medium = (wavelength >= positions / high).logical_and(wavelength <= positions / low);
  frequencies_ = at::where(medium, between, slow);
}

int64_t Rotary::max_length() const {
  const bool before = type_ == "linear" || type_ == "dynamic";
  const double stretched = factor_ * (before ? max_positions_ : type_ == "yarn" ? original_positions_ : 0);
  // A factor that no machine could use must not overflow.
  return std::max(max_positions_, static_cast<int64_t>(std::min(stretched, 1e15)));
}

at::Tensor Rotary::frequencies(int64_t length) const {
  if (type_ == "longrope" && length > original_positions_) return long_frequencies_;
  if (type_ == "dynamic" && length > max_positions_) {
    // In float32, as transformers has it: there the length is a tensor.
    const float factor = static_cast<float>(factor_);
    const float stretch = factor * static_cast<float>(length) / static_cast<float>(max_positions_) - (factor - 1);
    const float power = std::pow(stretch, static_cast<float>(static_cast<double>(size_) / (size_ - 2)));
    return plain_frequencies(static_cast<float>(theta_) * power);
  }
  return frequencies_;
}

std::pair<at::Tensor, at::Tensor> Rotary::angles(const std::vector<Span>& spans) const {
  std::vector<at::Tensor> angles;
  angles.reserve(spans.size());
  for (const Span& span : spans) {
    const at::Tensor positions = at::arange(span.begin, span.end, at::TensorOptions().dtype(at::kFloat));
    angles.push_back(positions.unsqueeze(1) * frequencies(span.end).unsqueeze(0));
  }
  const at::Tensor all = at::cat(angles);
  if (attention_factor_ == 1.0) return {all.cos(), all.sin()};
  return {all.cos() * attention_factor_, all.sin() * attention_factor_};
}

}  // namespace masbak::models

#include "models/layers/quantised_projection.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "models/layers/differentiable.h"
#include "models/layers/matrix_product.h"
#include "models/layers/projection_steps.h"

namespace masbak::models {
namespace {

// Numbers widened at a time: 32 MB of float32, large enough for the full rate of the products.
constexpr int64_t kPieceNumbers = int64_t{8} << 20;

// Some rows of a stored tensor: those of the flattened tensor from `first` on are rows [row, row + rows) of the weight.
struct ExpertRows {
  std::shared_ptr<const QuantisedTensor> tensor;
  int64_t first = 0, row = 0, rows = 0;
};

// Weights of E groups as pieces of bounded size, in the order of their rows. Held by the autograd graph too.
struct Pieces {
  std::vector<std::vector<ExpertRows>> of_group;
  int64_t out_features = 0, in_features = 0;

  void add(int64_t group, const std::shared_ptr<const QuantisedTensor>& tensor, int64_t first, int64_t row,
           int64_t rows) {
    const int64_t most = std::max<int64_t>(1, kPieceNumbers / in_features);
    for (int64_t done = 0; done < rows; done += most) {
      of_group[group].push_back({tensor, first + done, row + done, std::min(most, rows - done)});
    }
  }
  at::Tensor widened(const ExpertRows& rows, const at::TensorOptions& options) const {
    at::Tensor w_RI = at::empty({rows.rows, in_features}, options);
    rows.tensor->widen_into(w_RI, rows.first * in_features);
    return w_RI;
  }
};
using PiecesPointer = std::shared_ptr<Pieces>;

at::Tensor product(const Pieces& pieces, const at::Tensor& x_TI, const std::vector<int64_t>& offsets) {
  const at::NoGradGuard no_grad;
  at::Tensor y_TO = at::empty({x_TI.size(0), pieces.out_features}, x_TI.options());
  for (size_t e = 0; e + 1 < offsets.size(); ++e) {
    const int64_t count = offsets[e + 1] - offsets[e];
    if (count == 0) continue;
    const at::Tensor x = x_TI.narrow(0, offsets[e], count);
    for (const ExpertRows& rows : pieces.of_group[e]) {
      at::Tensor out = y_TO.narrow(0, offsets[e], count).narrow(1, rows.row, rows.rows);
      multiply_into(out, x, pieces.widened(rows, x_TI.options()));
    }
  }
  return y_TO;
}

at::Tensor back_through(const Pieces& pieces, const at::Tensor& dy_TO, const std::vector<int64_t>& offsets) {
  const at::NoGradGuard no_grad;
  at::Tensor dx_TI = at::zeros({dy_TO.size(0), pieces.in_features}, dy_TO.options());
  for (size_t e = 0; e + 1 < offsets.size(); ++e) {
    const int64_t count = offsets[e + 1] - offsets[e];
    if (count == 0) continue;
    at::Tensor dx = dx_TI.narrow(0, offsets[e], count);
    for (const ExpertRows& rows : pieces.of_group[e]) {
      const at::Tensor dy = dy_TO.narrow(0, offsets[e], count).narrow(1, rows.row, rows.rows);
      add_product_into(dx, dy, pieces.widened(rows, dy_TO.options()).t());
    }
  }
  return dx_TI;
}

at::Tensor all_rows(const Pieces& pieces, at::ScalarType dtype) {
  at::Tensor w_EOI = at::empty({static_cast<int64_t>(pieces.of_group.size()), pieces.out_features, pieces.in_features},
                               at::TensorOptions().dtype(dtype).device(pieces.of_group[0][0].tensor->device()));
  for (size_t e = 0; e < pieces.of_group.size(); ++e) {
    for (const ExpertRows& rows : pieces.of_group[e]) {
      at::Tensor out = w_EOI.select(0, static_cast<int64_t>(e)).narrow(0, rows.row, rows.rows);
      rows.tensor->widen_into(out, rows.first * pieces.in_features);
    }
  }
  return w_EOI;
}

class QuantisedProjection final : public BackwardProjection {
 public:
  QuantisedProjection(PiecesPointer pieces, at::ScalarType dtype, at::Tensor bias_O)
      : pieces_(std::move(pieces)), dtype_(dtype), bias_O_(std::move(bias_O)) {}

  at::Tensor forward(const at::Tensor& x_TI) const override {
    const at::Tensor y_TO =
        differentiable(product(*pieces_, x_TI, {0, x_TI.size(0)}), {x_TI},
                       [pieces = pieces_](const at::Tensor& dy_TO, const std::vector<bool>&) {
                         return std::vector<at::Tensor>{back_through(*pieces, dy_TO, {0, dy_TO.size(0)})};
                       });
    return bias_O_.defined() ? y_TO + bias_O_ : y_TO;
  }
  at::Tensor multiply_back(const at::Tensor& dy_TO) const override {
    return back_through(*pieces_, dy_TO, {0, dy_TO.size(0)});
  }
  at::Tensor weight() const override { return all_rows(*pieces_, dtype_).squeeze(0); }
  at::Tensor bias() const override { return bias_O_; }
  int64_t in_features() const override { return pieces_->in_features; }
  int64_t out_features() const override { return pieces_->out_features; }

 private:
  PiecesPointer pieces_;
  at::ScalarType dtype_;
  at::Tensor bias_O_;
};

class QuantisedExperts final : public ExpertSteps {
 public:
  QuantisedExperts(PiecesPointer pieces, at::ScalarType dtype) : pieces_(std::move(pieces)), dtype_(dtype) {}

  at::Tensor multiply(const at::Tensor& x_TI, const std::vector<int64_t>& offsets, Kept*) const override {
    return product(*pieces_, x_TI, offsets);
  }
  at::Tensor multiply_back(const at::Tensor& dy_TO, const std::vector<int64_t>& offsets, Kept*,
                           bool wanted) const override {
    return wanted ? back_through(*pieces_, dy_TO, offsets) : at::Tensor();
  }
  at::Tensor weight() const override { return all_rows(*pieces_, dtype_); }
  int64_t experts() const override { return static_cast<int64_t>(pieces_->of_group.size()); }
  int64_t in_features() const override { return pieces_->in_features; }
  int64_t out_features() const override { return pieces_->out_features; }

 private:
  PiecesPointer pieces_;
  at::ScalarType dtype_;
};

PiecesPointer empty_pieces(int64_t groups, int64_t out_features, int64_t in_features) {
  auto pieces = std::make_shared<Pieces>();
  pieces->of_group.resize(groups);
  pieces->out_features = out_features;
  pieces->in_features = in_features;
  return pieces;
}

}  // namespace

std::shared_ptr<Projection> make_quantised_projection(std::shared_ptr<const QuantisedTensor> weight,
                                                      at::ScalarType dtype, at::Tensor bias_O) {
  const std::vector<int64_t>& shape = weight->shape();
  if (shape.size() != 2) throw base::Error(base::Code::kInternal, "a projection needs a weight [out, in]");
  const PiecesPointer pieces = empty_pieces(1, shape[0], shape[1]);
  pieces->add(0, weight, 0, 0, shape[0]);
  return std::make_shared<QuantisedProjection>(pieces, dtype, std::move(bias_O));
}

std::shared_ptr<ExpertProjection> make_quantised_experts(std::vector<ExpertPart> parts, int64_t experts,
                                                         int64_t out_features, int64_t in_features,
                                                         at::ScalarType dtype) {
  const PiecesPointer pieces = empty_pieces(experts, out_features, in_features);
  for (const ExpertPart& part : parts) {
    const std::vector<int64_t>& shape = part.weight->shape();
    if (shape.size() == 2) {
      pieces->add(part.expert, part.weight, 0, part.row, shape[0]);
      continue;
    }
    for (int64_t e = 0; e < shape[0]; ++e) pieces->add(e, part.weight, e * shape[1], 0, shape[1]);
  }
  return std::make_shared<QuantisedExperts>(pieces, dtype);
}

}  // namespace masbak::models

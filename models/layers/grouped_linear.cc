#include "models/layers/grouped_linear.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <atomic>

#include "models/layers/matrix_product.h"

namespace masbak::models {
namespace {

constexpr size_t kItemsPerThread = 4;

// Calls body(i) for each i < count. With several a thread, each thread takes one after another: a product of a few
// hundred rows is too short to be shared by threads that then wait for each other.
template <typename Body>
void for_each(size_t count, bool on_cpu, const Body& body) {
  const auto threads = static_cast<size_t>(at::get_num_threads());
  if (!on_cpu || threads == 1 || count < kItemsPerThread * threads || at::in_parallel_region()) {
    for (size_t i = 0; i < count; ++i) body(i);
    return;
  }
  std::atomic<size_t> next = 0;
  at::parallel_for(0, static_cast<int64_t>(threads), 1, [&](int64_t, int64_t) {
    const at::NoGradGuard no_grad;  // the mode is a thread's own
    for (size_t i = next++; i < count; i = next++) body(i);
  });
}

void multiply_one(ProductTerms& terms, double scale, bool add) {
  if (add) {
    add_product_into(terms.y_TO, terms.x_TI, terms.w_OI, scale);
  } else {
    multiply_into(terms.y_TO, terms.x_TI, terms.w_OI);
    if (scale != 1) terms.y_TO.mul_(scale);
  }
  if (terms.h_TR.defined()) add_product_into(terms.y_TO, terms.h_TR, terms.b_OR, scale);
  if (terms.bias_O.defined()) terms.y_TO.add_(terms.bias_O, scale);
}

// y = scale * (x W^T + h B^T + bias), or += with `add`. The groups that matrix_product.h takes are multiplied all at
// once, the others one by one and not by at::_grouped_mm, which reaches the rate of the plain product and no more and
// has demands on alignment.
void multiply_groups(at::Tensor& y_TO, const at::Tensor& x_TI, const at::Tensor& w_EOI, const at::Tensor& h_TR,
                     const at::Tensor& b_EOR, const at::Tensor& bias_O, double scale, bool add,
                     const std::vector<int64_t>& offsets) {
  const at::NoGradGuard no_grad;
  std::vector<ProductTerms> taken, others;
  for (size_t e = 0; e + 1 < offsets.size(); ++e) {
    const int64_t begin = offsets[e], rows = offsets[e + 1] - begin, group = static_cast<int64_t>(e);
    if (rows == 0) continue;
    ProductTerms terms{y_TO.narrow(0, begin, rows), x_TI.narrow(0, begin, rows), w_EOI.select(0, group)};
    if (h_TR.defined()) {
      terms.h_TR = h_TR.narrow(0, begin, rows);
      terms.b_OR = b_EOR.select(0, group);
    }
    terms.bias_O = bias_O;
    (takes_terms(terms) ? taken : others).push_back(std::move(terms));
  }
  if (!taken.empty()) matrix_products(taken, scale, add);
  for_each(others.size(), x_TI.is_cpu(), [&](size_t i) { multiply_one(others[i], scale, add); });
}

}  // namespace

at::Tensor grouped_product(const at::Tensor& x_TI, const at::Tensor& w_EOI, const std::vector<int64_t>& offsets) {
  at::Tensor y_TO = at::empty({x_TI.size(0), w_EOI.size(1)}, x_TI.options());
  multiply_groups(y_TO, x_TI, w_EOI, {}, {}, {}, 1, false, offsets);
  return y_TO;
}

void add_grouped_product(at::Tensor& y_TO, const at::Tensor& x_TI, const at::Tensor& w_EOI, double scale,
                         const std::vector<int64_t>& offsets) {
  multiply_groups(y_TO, x_TI, w_EOI, {}, {}, {}, scale, true, offsets);
}

ChangedProduct grouped_changed_product(const at::Tensor& x_TI, const at::Tensor& w_EOI, const at::Tensor& a_ERI,
                                       const at::Tensor& b_EOR, double scale, const std::vector<int64_t>& offsets,
                                       const at::Tensor& bias_O) {
  ChangedProduct result{at::empty({x_TI.size(0), w_EOI.size(1)}, x_TI.options()),
                        at::empty({x_TI.size(0), a_ERI.size(1)}, x_TI.options())};
  multiply_groups(result.h_TR, x_TI, a_ERI, {}, {}, {}, scale, false, offsets);
  multiply_groups(result.y_TO, x_TI, w_EOI, result.h_TR, b_EOR, bias_O, 1, false, offsets);
  return result;
}

at::Tensor grouped_outer(const at::Tensor& y_TO, const at::Tensor& x_TI, const std::vector<int64_t>& offsets) {
  const at::NoGradGuard no_grad;
  const int64_t groups = static_cast<int64_t>(offsets.size()) - 1;
  const bool narrow = is_narrow_outer(y_TO, x_TI);
  at::Tensor g_EOI =
      at::empty({groups, y_TO.size(1), x_TI.size(1)}, narrow ? x_TI.options().dtype(at::kFloat) : x_TI.options());
  std::vector<int64_t> filled;
  for (int64_t e = 0; e < groups; ++e) {
    if (offsets[e + 1] > offsets[e]) {
      filled.push_back(e);
    } else {
      g_EOI.select(0, e).zero_();
    }
  }
  for_each(filled.size(), x_TI.is_cpu(), [&](size_t i) {
    const int64_t e = filled[i], begin = offsets[e], rows = offsets[e + 1] - begin;
    at::Tensor out = g_EOI.select(0, e);
    const at::Tensor y = y_TO.narrow(0, begin, rows), x = x_TI.narrow(0, begin, rows);
    if (narrow) {
      out.copy_(narrow_outer(y, x));
    } else {
      multiply_into(out, x.is_cpu() ? y.t().contiguous() : y.t(), x.t());
    }
  });
  return g_EOI;
}

}  // namespace masbak::models

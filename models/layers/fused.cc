#include "models/layers/fused.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/silu.h>
#include <torch/csrc/autograd/custom_function.h>

#include "models/kernels/cpu/rows.h"
#include "models/kernels/cuda/library.h"
#include "models/layers/device_rows.h"
#include "models/layers/differentiable.h"

namespace masbak::models {
namespace {

using kernels::row_kernels;
using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

bool has_kernel(const at::Tensor& x) {
  const at::ScalarType type = x.scalar_type();
  return x.is_cpu() && (type == at::kFloat || type == at::kDouble || type == at::kBFloat16);
}

// Rows as the kernels want them: [rows, size], features side by side, any stride between rows.
at::Tensor as_rows(const at::Tensor& x) {
  if (x.dim() == 2 && x.stride(1) == 1) return x;
  return x.contiguous().view({-1, x.size(-1)});
}

// Splits rows so that one thread gets work for some tens of microseconds.
template <typename Body>
void for_rows(int64_t rows, int64_t size, const Body& body) {
  at::parallel_for(0, rows, std::max<int64_t>(1, 32768 / std::max<int64_t>(size, 1)), body);
}

// A bfloat16 type as ATen's dispatch macro names it, for the kernels' templates.
#define MASBAK_DISPATCH(TENSOR, ...) \
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, (TENSOR).scalar_type(), "masbak", __VA_ARGS__)

struct RmsNorm : torch::autograd::Function<RmsNorm> {
  static Variable forward(AutogradContext* context, const Variable& x, const at::Tensor& weight, double epsilon) {
    const at::Tensor rows = as_rows(x);
    at::Tensor y = at::empty(x.sizes(), x.options());
    at::Tensor scales = at::empty({rows.size(0)}, x.options().dtype(sum_type(x)));
    const int64_t size = rows.size(1), stride = rows.stride(0);
    MASBAK_DISPATCH(x, [&] {
      using A = typename kernels::Accumulate<scalar_t>::type;
      const auto* from = rows.const_data_ptr<scalar_t>();
      const auto* w = weight.const_data_ptr<scalar_t>();
      auto* to = y.mutable_data_ptr<scalar_t>();
      auto* kept = scales.mutable_data_ptr<A>();
      for_rows(rows.size(0), size, [&](int64_t begin, int64_t end) {
        row_kernels<scalar_t>().rms_norm(end - begin, size, from + begin * stride, stride, w, static_cast<A>(epsilon),
                                         to + begin * size, kept + begin);
      });
    });
    context->save_for_backward({rows, weight, scales});
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &rows = saved[0], &weight = saved[1], &scales = saved[2];
    const at::Tensor dy = gradients[0].contiguous();
    at::Tensor dx = at::empty(dy.sizes(), dy.options());
    const int64_t size = rows.size(1), stride = rows.stride(0);
    MASBAK_DISPATCH(dy, [&] {
      using A = typename kernels::Accumulate<scalar_t>::type;
      const auto* from = rows.const_data_ptr<scalar_t>();
      const auto* w = weight.const_data_ptr<scalar_t>();
      const auto* dfrom = dy.const_data_ptr<scalar_t>();
      const auto* kept = scales.const_data_ptr<A>();
      auto* to = dx.mutable_data_ptr<scalar_t>();
      for_rows(rows.size(0), size, [&](int64_t begin, int64_t end) {
        row_kernels<scalar_t>().rms_norm_backward(end - begin, size, dfrom + begin * size, from + begin * stride,
                                                  stride, w, kept + begin, to + begin * size);
      });
    });
    return {dx, at::Tensor(), at::Tensor()};
  }
};

// With `halves`, gate holds both side by side and so does its gradient; up is then not looked at.
struct SiluTimes : torch::autograd::Function<SiluTimes> {
  static Variable forward(AutogradContext* context, const Variable& gate, const Variable& up, bool halves) {
    const at::Tensor g_rows = as_rows(gate);
    const at::Tensor u_rows = halves ? g_rows.narrow(1, g_rows.size(1) / 2, g_rows.size(1) / 2) : as_rows(up);
    const int64_t size = u_rows.size(1), g_stride = g_rows.stride(0), u_stride = u_rows.stride(0);
    std::vector<int64_t> sizes = gate.sizes().vec();
    sizes.back() = size;
    at::Tensor y = at::empty(sizes, gate.options());
    MASBAK_DISPATCH(gate, [&] {
      const auto* g = g_rows.const_data_ptr<scalar_t>();
      const auto* u = u_rows.const_data_ptr<scalar_t>();
      auto* to = y.mutable_data_ptr<scalar_t>();
      for_rows(g_rows.size(0), size, [&](int64_t begin, int64_t end) {
        row_kernels<scalar_t>().silu_times(end - begin, size, g + begin * g_stride, g_stride, u + begin * u_stride,
                                           u_stride, to + begin * size);
      });
    });
    context->save_for_backward({g_rows, halves ? at::Tensor() : u_rows});
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const bool halves = !saved[1].defined();
    const at::Tensor& g_rows = saved[0];
    const int64_t size = halves ? g_rows.size(1) / 2 : g_rows.size(1);
    const at::Tensor u_rows = halves ? g_rows.narrow(1, size, size) : saved[1];
    const at::Tensor dy = gradients[0].contiguous();
    std::vector<int64_t> sizes = dy.sizes().vec();
    if (halves) sizes.back() = 2 * size;
    at::Tensor dgate = at::empty(sizes, dy.options());
    at::Tensor dup = halves ? at::Tensor() : at::empty(sizes, dy.options());
    const int64_t g_stride = g_rows.stride(0), u_stride = u_rows.stride(0), d_stride = halves ? 2 * size : size;
    MASBAK_DISPATCH(dy, [&] {
      const auto* d = dy.const_data_ptr<scalar_t>();
      const auto* g = g_rows.const_data_ptr<scalar_t>();
      const auto* u = u_rows.const_data_ptr<scalar_t>();
      auto* dg = dgate.mutable_data_ptr<scalar_t>();
      auto* du = halves ? dg + size : dup.mutable_data_ptr<scalar_t>();
      for_rows(g_rows.size(0), size, [&](int64_t begin, int64_t end) {
        row_kernels<scalar_t>().silu_times_backward(end - begin, size, d + begin * size, g + begin * g_stride, g_stride,
                                                    u + begin * u_stride, u_stride, dg + begin * d_stride, d_stride,
                                                    du + begin * d_stride, d_stride);
      });
    });
    return {dgate, dup, at::Tensor()};
  }
};

at::Tensor rotate_rows(const at::Tensor& x_THD, const at::Tensor& cos_TF, const at::Tensor& sin_TF, bool back,
                       bool interleaved_in, bool interleaved_out) {
  // Tokens and heads may lie anywhere; the features of a head lie side by side.
  const at::Tensor x = x_THD.stride(2) == 1 ? x_THD : x_THD.contiguous();
  at::Tensor y = at::empty(x.sizes(), x.options());
  const int64_t heads = x.size(1), size = x.size(2), frequencies = cos_TF.size(1);
  const int64_t t_stride = x.stride(0), h_stride = x.stride(1);
  const float* cosines = cos_TF.const_data_ptr<float>();
  const float* sines = sin_TF.const_data_ptr<float>();
  MASBAK_DISPATCH(x, [&] {
    const auto* from = x.const_data_ptr<scalar_t>();
    auto* to = y.mutable_data_ptr<scalar_t>();
    for_rows(x.size(0), heads * size, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        for (int64_t h = 0; h < heads; ++h) {
          row_kernels<scalar_t>().rotate(size - 2 * frequencies, frequencies, from + t * t_stride + h * h_stride,
                                         cosines + t * frequencies, sines + t * frequencies, back, interleaved_in,
                                         interleaved_out, to + (t * heads + h) * size);
        }
      }
    });
  });
  return y;
}

struct Rotate : torch::autograd::Function<Rotate> {
  static Variable forward(AutogradContext* context, const Variable& x, const at::Tensor& cosine, const at::Tensor& sine,
                          bool interleaved) {
    context->save_for_backward({cosine, sine});
    context->saved_data["interleaved"] = interleaved;
    return rotate_rows(x, cosine, sine, false, interleaved, false);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const bool interleaved = context->saved_data["interleaved"].toBool();
    return {rotate_rows(gradients[0], saved[0], saved[1], true, false, interleaved), at::Tensor(), at::Tensor(),
            at::Tensor()};
  }
};

}  // namespace

at::Tensor rms_norm(const at::Tensor& x_TD, const at::Tensor& weight_D, double epsilon) {
  if (has_kernel(x_TD)) return RmsNorm::apply(x_TD, weight_D, epsilon);
  const at::Tensor x = x_TD.to(at::kFloat);
  return (x * at::rsqrt(x.square().mean(-1, true) + epsilon)).to(x_TD.scalar_type()) * weight_D;
}

at::Tensor silu_times(const at::Tensor& gate_TD, const at::Tensor& up_TD) {
  return has_kernel(gate_TD) ? SiluTimes::apply(gate_TD, up_TD, false) : at::silu(gate_TD) * up_TD;
}

at::Tensor silu_times_halves(const at::Tensor& gate_up) {
  if (has_kernel(gate_up)) return SiluTimes::apply(gate_up, gate_up, true);
  const std::vector<at::Tensor> halves = gate_up.chunk(2, -1);
  return at::silu(halves[0]) * halves[1];
}

at::Tensor rotate(const at::Tensor& x_THD, const at::Tensor& cos_TF, const at::Tensor& sin_TF, bool interleaved) {
  if (has_kernel(x_THD)) return Rotate::apply(x_THD, cos_TF, sin_TF, interleaved);
  const int64_t frequencies = cos_TF.size(1), plain = x_THD.size(2) - 2 * frequencies;
  const at::Tensor rotary = x_THD.narrow(2, plain, 2 * frequencies);
  const at::Tensor pairs =
      interleaved ? rotary.unflatten(2, {frequencies, 2}) : rotary.unflatten(2, {2, frequencies}).transpose(2, 3);
  const at::Tensor a = pairs.select(3, 0), b = pairs.select(3, 1);
  const at::Tensor c = cos_TF.unsqueeze(1), s = sin_TF.unsqueeze(1);
  const at::Tensor turned = at::cat({a * c - b * s, b * c + a * s}, 2).to(x_THD.scalar_type());
  return plain == 0 ? turned : at::cat({x_THD.narrow(2, 0, plain), turned}, 2);
}

SiluGradients silu_times_halves_backward(const at::Tensor& dy_ND, const at::Tensor& gate_up,
                                         const at::Tensor& weights_N) {
  const int64_t rows = dy_ND.size(0), size = dy_ND.size(1);
  if (!has_kernel(dy_ND)) {
    const at::Tensor gate = gate_up.narrow(1, 0, size).to(at::kFloat), up = gate_up.narrow(1, size, size);
    const at::Tensor share = at::sigmoid(gate), y = gate * share * up, d = dy_ND * weights_N.unsqueeze(1);
    const at::Tensor dgate = d * up * share * (1 + gate * (1 - share));
    return {y.to(dy_ND.scalar_type()), at::cat({dgate, d * gate * share}, 1).to(dy_ND.scalar_type()),
            (dy_ND * y).sum(1)};
  }
  SiluGradients result = {at::empty({rows, size}, dy_ND.options()), at::empty({rows, 2 * size}, dy_ND.options()),
                          at::empty({rows}, weights_N.options())};
  MASBAK_DISPATCH(dy_ND, [&] {
    using A = typename kernels::Accumulate<scalar_t>::type;
    const auto* dy = dy_ND.const_data_ptr<scalar_t>();
    const auto* g = gate_up.const_data_ptr<scalar_t>();
    const A* weights = weights_N.const_data_ptr<A>();
    auto* y = result.y_ND.mutable_data_ptr<scalar_t>();
    auto* dg = result.dgate_up.mutable_data_ptr<scalar_t>();
    A* dweights = result.dweights_N.mutable_data_ptr<A>();
    for_rows(rows, size, [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) {
        const int64_t one = n * size, two = 2 * one;
        dweights[n] = row_kernels<scalar_t>().silu_times_weighted_backward(
            size, weights[n], dy + one, g + two, g + two + size, y + one, dg + two, dg + two + size);
      }
    });
  });
  return result;
}

at::Tensor gather_rows(const at::Tensor& x_ND, const at::Tensor& rows_N) {
  return cuda::kernels_for(x_ND) ? device::gather_rows(x_ND, rows_N) : x_ND.index_select(0, rows_N);
}

at::Tensor sum_rows(const at::Tensor& x_ND, const at::Tensor& weights_TK, const at::Tensor& rows_TK) {
  if (cuda::kernels_for(x_ND)) return device::sum_rows(x_ND, weights_TK, rows_TK);
  if (!has_kernel(x_ND)) {
    const at::Tensor pairs_TKD = x_ND.index_select(0, rows_TK.flatten()).unflatten(0, rows_TK.sizes());
    const at::Tensor weighted_TKD = weights_TK.defined() ? pairs_TKD * weights_TK.unsqueeze(2) : pairs_TKD;
    return weighted_TKD.sum(1).to(x_ND.scalar_type());
  }
  at::Tensor out = at::empty({rows_TK.size(0), x_ND.size(1)}, x_ND.options());
  const int64_t count = rows_TK.size(1), size = x_ND.size(1);
  const int32_t* rows = rows_TK.const_data_ptr<int32_t>();
  MASBAK_DISPATCH(x_ND, [&] {
    using A = typename kernels::Accumulate<scalar_t>::type;
    const auto* from = x_ND.const_data_ptr<scalar_t>();
    const A* weights = weights_TK.defined() ? weights_TK.const_data_ptr<A>() : nullptr;
    auto* to = out.mutable_data_ptr<scalar_t>();
    for_rows(rows_TK.size(0), size * count, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        row_kernels<scalar_t>().weighted_sum(count, size, from, rows + t * count,
                                             weights ? weights + t * count : nullptr, to + t * size);
      }
    });
  });
  return out;
}

double cross_entropy_rows(at::Tensor& logits_NV, const at::Tensor& targets_N, double scale, bool gradient) {
  if (const auto* kernels = cuda::kernels_for(logits_NV)) {
    return device::cross_entropy_rows(*kernels, logits_NV, targets_N, scale, gradient);
  }
  if (!has_kernel(logits_NV)) {
    const at::Tensor numbers_NV = logits_NV.to(at::kFloat), targets_N1 = targets_N.unsqueeze(1);
    const at::Tensor log_sum_N1 = numbers_NV.logsumexp(1, true), chosen_N1 = numbers_NV.gather(1, targets_N1);
    if (gradient) {
      at::Tensor shares_NV = (numbers_NV - log_sum_N1).exp_();
      shares_NV.scatter_add_(1, targets_N1, at::full_like(chosen_N1, -1.0));
      logits_NV.copy_(shares_NV.mul_(scale));
    }
    return (log_sum_N1 - chosen_N1).sum(at::kDouble).item<double>();
  }
  const int64_t rows = logits_NV.size(0), size = logits_NV.size(1);
  std::vector<double> losses(static_cast<size_t>(rows));
  const int64_t* targets = targets_N.const_data_ptr<int64_t>();
  MASBAK_DISPATCH(logits_NV, [&] {
    using A = typename kernels::Accumulate<scalar_t>::type;
    auto* logits = logits_NV.mutable_data_ptr<scalar_t>();
    for_rows(rows, size, [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) {
        losses[n] =
            row_kernels<scalar_t>().cross_entropy(size, targets[n], static_cast<A>(scale), gradient, logits + n * size);
      }
    });
  });
  double sum = 0;
  for (double loss : losses) sum += loss;
  return sum;
}

}  // namespace masbak::models

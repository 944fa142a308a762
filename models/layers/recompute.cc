#include "models/layers/recompute.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <mutex>
#include <utility>

namespace masbak::models {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

using Body = std::function<std::vector<at::Tensor>(const at::Tensor&)>;

struct Call : torch::CustomClassHolder {
  Call(Body body, at::Generator random) : body(std::move(body)), random(std::move(random)) {}
  Body body;
  at::Generator random;
};

at::Tensor random_state(at::Generator random) {
  if (!random.defined()) return {};
  const std::lock_guard<std::mutex> lock(random.mutex());
  return random.get_state();
}

void set_random_state(at::Generator random, const at::Tensor& state) {
  if (!random.defined()) return;
  const std::lock_guard<std::mutex> lock(random.mutex());
  random.set_state(state);
}

struct Recompute : torch::autograd::Function<Recompute> {
  // `anchor` asks for a gradient, so that the results do too where x does not: the layer's own parameters train.
  static variable_list forward(AutogradContext* context, const Variable& x, const Variable& /*anchor*/,
                               const c10::intrusive_ptr<torch::CustomClassHolder>& call) {
    const auto& own = static_cast<const Call&>(*call);
    context->saved_data["call"] = c10::IValue::make_capsule(call);
    context->saved_data["x_wanted"] = x.requires_grad();
    context->save_for_backward({x, random_state(own.random)});
    context->set_materialize_grads(false);  // a result that nothing used asks for no work
    variable_list results = own.body(x);
    variable_list without;
    for (const Variable& result : results) {
      if (!result.is_floating_point()) without.push_back(result);
    }
    context->mark_non_differentiable(without);
    return results;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const auto capsule = context->saved_data["call"].toCapsule();
    const auto& call = static_cast<const Call&>(*capsule);
    const bool x_wanted = context->saved_data["x_wanted"].toBool();
    const at::Tensor x = saved[0].detach();
    x.requires_grad_(x_wanted);
    variable_list roots, of_roots;
    {
      const at::AutoGradMode with_gradient(true);
      const at::Tensor now = random_state(call.random);
      set_random_state(call.random, saved[1]);
      const std::vector<at::Tensor> results = call.body(x);
      set_random_state(call.random, now);
      for (size_t i = 0; i < results.size(); ++i) {
        if (!gradients[i].defined() || !results[i].requires_grad()) continue;
        roots.push_back(results[i]);
        of_roots.push_back(gradients[i]);
      }
    }
    if (!roots.empty()) torch::autograd::backward(roots, of_roots);
    return {x_wanted ? x.grad() : at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

std::vector<at::Tensor> recompute(const at::Tensor& x, Body body, const at::Generator& random) {
  const at::Tensor anchor = at::empty({0}, x.options()).requires_grad_();
  return Recompute::apply(x, anchor, c10::make_intrusive<Call>(std::move(body), random));
}

}  // namespace masbak::models

#include "models/layers/differentiable.h"

#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "base/error.h"

namespace masbak::models {
namespace {

using torch::autograd::variable_list;

struct HandWritten : torch::autograd::Node {
  HandWritten(torch::autograd::edge_list edges, Backward own) : Node(std::move(edges)), backward(std::move(own)) {}

  variable_list apply(variable_list&& gradients) override {
    if (!backward) throw base::Error(base::Code::kInternal, "a second backward pass through one graph");
    std::vector<bool> wanted;
    bool any = false;
    for (size_t i = 0; i < next_edges().size(); ++i) {
      wanted.push_back(task_should_compute_output(i));
      any = any || wanted.back();
    }
    if (!any || !gradients[0].defined()) return variable_list(wanted.size());
    const at::NoGradGuard no_grad;
    return backward(gradients[0].contiguous(), wanted);
  }
  void release_variables() override { backward = nullptr; }
  std::string name() const override { return "HandWritten"; }

  Backward backward;
};

}  // namespace

bool any_gradient(const std::vector<at::Tensor>& inputs) {
  return c10::GradMode::is_enabled() && std::any_of(inputs.begin(), inputs.end(), [](const at::Tensor& input) {
           return input.defined() && input.requires_grad();
         });
}

at::Tensor differentiable(at::Tensor result, const std::vector<at::Tensor>& inputs, Backward backward) {
  if (!any_gradient(inputs)) return result;
  const auto node = std::make_shared<HandWritten>(torch::autograd::collect_next_edges(inputs), std::move(backward));
  torch::autograd::set_history(result, node);
  return result;
}

}  // namespace masbak::models

#include "trainer/objectives/sft.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <string>

#include "base/error.h"
#include "models/layers/filled_size.h"
#include "models/layers/fused.h"
#include "models/layers/matrix_product.h"

namespace masbak::trainer {
namespace {

// One chunk of logits: below what glibc gives back to the system at once (32 MiB).
constexpr int64_t kChunkBytes = 28 << 20;
constexpr int64_t kFillFrom = 128;

at::Tensor tensor_of(const std::vector<int64_t>& values) {
  return at::tensor(at::IntArrayRef(values), at::TensorOptions().dtype(at::kLong));
}

void check_id(int32_t id, int64_t vocabulary, const char* field, const TokenView& example) {
  if (id >= 0 && id < vocabulary) return;
  throw base::Error(base::Code::kOutOfRange,
                    "expected ids from 0 to " + std::to_string(vocabulary - 1) + " (the model's vocabulary), found " +
                        std::to_string(id),
                    {"", example.line, field});
}

// Rows of zeros behind those of x until there are `rows`.
at::Tensor filled_up(const at::Tensor& x_ND, int64_t rows) {
  if (rows <= x_ND.size(0)) return x_ND;
  at::Tensor filled_ND = at::zeros({rows, x_ND.size(1)}, x_ND.options());
  filled_ND.narrow(0, 0, x_ND.size(0)).copy_(x_ND);
  return filled_ND;
}

}  // namespace

int64_t filled_tokens(int64_t tokens) { return tokens < kFillFrom ? tokens : models::filled_size(tokens, kTokenStep); }

bool fills_up() { return !models::sizes_are_free(); }

int64_t logit_rows(int64_t vocabulary, int64_t bytes) {
  return std::max<int64_t>(16, kChunkBytes / bytes / vocabulary);
}

void backward_through(const at::Tensor& hidden_ND, const at::Tensor& gradient_ND, const at::Tensor& also) {
  std::vector<at::Tensor> roots, gradients;
  if (hidden_ND.requires_grad()) {  // not if the head alone trains
    roots.push_back(hidden_ND);
    gradients.push_back(gradient_ND);
  }
  if (also.defined() && also.requires_grad()) {
    roots.push_back(also);
    gradients.push_back(at::ones_like(also));
  }
  if (!roots.empty()) torch::autograd::backward(roots, gradients);
}

LabelledBatch label_batch(const std::vector<TokenView>& examples, int64_t vocabulary, bool fill) {
  LabelledBatch result;
  std::vector<int64_t> ids, rows, targets;
  for (const TokenView& example : examples) {
    const auto begin = static_cast<int64_t>(ids.size()), length = static_cast<int64_t>(example.ids.size());
    result.batch.slices.push_back({begin, length, nullptr});
    for (int64_t i = 0; i < length; ++i) {
      check_id(example.ids[i], vocabulary, "input_ids", example);
      ids.push_back(example.ids[i]);
      // The token at place i is predicted from place i - 1.
      if (i == 0 || example.labels[i] == kIgnoredLabel) continue;
      check_id(example.labels[i], vocabulary, "labels", example);
      rows.push_back(begin + i - 1);
      targets.push_back(example.labels[i]);
    }
  }
  result.tokens = static_cast<int64_t>(ids.size());
  const int64_t missing = filled_tokens(result.tokens) - result.tokens;
  if (fill && missing > 0) {
    result.batch.slices.push_back({result.tokens, missing, nullptr});
    ids.resize(ids.size() + static_cast<size_t>(missing), 0);
  }
  result.batch.ids_T = tensor_of(ids);
  result.rows_N = tensor_of(rows);
  result.targets_N = tensor_of(targets);
  return result;
}

double sft_loss(models::CausalModel& model, const LabelledBatch& batch) {
  const at::NoGradGuard no_grad;
  const int64_t rows = batch.labelled(), step = logit_rows(model.info().vocabulary, c10::elementSize(model.dtype()));
  if (rows == 0) return 0;
  const at::Device device = model.embedding_weight().device();
  const at::Tensor hidden_ND = model.hidden(batch.batch).index_select(0, batch.rows_N.to(device));
  const at::Tensor targets_N = batch.targets_N.to(device);
  double sum = 0;
  for (int64_t begin = 0; begin < rows; begin += step) {
    const int64_t count = std::min(step, rows - begin);
    at::Tensor logits_NV = model.logits(hidden_ND.narrow(0, begin, count)).contiguous();
    sum += models::cross_entropy_rows(logits_NV, targets_N.narrow(0, begin, count), 0, false);
  }
  return sum;
}

double sft_backward(models::CausalModel& model, const LabelledBatch& batch, double denominator,
                    std::vector<models::RouterRecord>* routers, const std::function<at::Tensor()>& also) {
  const int64_t rows = batch.labelled(), step = logit_rows(model.info().vocabulary, c10::elementSize(model.dtype()));
  if (rows == 0) return 0;
  const at::Device device = model.embedding_weight().device();
  const at::Tensor hidden_ND = model.hidden(batch.batch, routers).index_select(0, batch.rows_N.to(device));
  const at::Tensor targets_N = batch.targets_N.to(device);
  at::Tensor gradient_ND = at::empty_like(hidden_ND.detach());
  double sum = 0;
  for (int64_t begin = 0; begin < rows; begin += step) {
    const int64_t count = std::min(step, rows - begin);
    const at::Tensor chunk_ND = filled_up(hidden_ND.detach().narrow(0, begin, count),
                                          fills_up() ? std::min(step, filled_tokens(count)) : count);
    const at::Tensor logits_NV = model.logits(chunk_ND.requires_grad_());
    // The gradient takes the logits' place: nothing reads them again.
    at::Tensor gradient_NV = logits_NV.detach().contiguous(), labelled_NV = gradient_NV.narrow(0, 0, count);
    gradient_NV.narrow(0, count, gradient_NV.size(0) - count).zero_();
    sum += models::cross_entropy_rows(labelled_NV, targets_N.narrow(0, begin, count), 1.0 / denominator, true);
    logits_NV.backward(gradient_NV);
    gradient_ND.narrow(0, begin, count).copy_(chunk_ND.grad().narrow(0, 0, count));
  }
  backward_through(hidden_ND, gradient_ND, also ? also() : at::Tensor());
  return sum;
}

}  // namespace masbak::trainer

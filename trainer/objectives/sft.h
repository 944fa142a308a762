// Supervised fine-tuning: cross entropy of the next token where the labels ask for it.
//
// Shape letters: T packed tokens, N labelled rows, D hidden size, V vocabulary.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "models/families/causal_model.h"
#include "trainer/data/examples.h"

namespace masbak::trainer {

// Examples one after another, each a sequence of its own, and the rows from which something is learnt.
struct LabelledBatch {
  models::Batch batch;
  at::Tensor rows_N;     // int64: places in T whose next token has a label
  at::Tensor targets_N;  // int64: that label
  int64_t tokens = 0;    // of the examples; the batch may be filled up with a few more behind them
  int64_t labelled() const { return rows_N.size(0); }
};

// With `fill` the tokens are filled up to one of few sizes (filled_tokens) by one more sequence without labels.
// OUT_OF_RANGE, with the row's line, for an id or label outside the vocabulary.
LabelledBatch label_batch(const std::vector<TokenView>& examples, int64_t vocabulary, bool fill = false);

// How many tokens go through the model where `fill` is set: one of filled_size's sizes in steps of kTokenStep.
constexpr int64_t kTokenStep = 16;
int64_t filled_tokens(int64_t tokens);
// What training sets `fill` to: off where sizes of products cost nothing (models/layers/matrix_product.h).
bool fills_up();

// The sum of the cross entropies over the labelled rows. No gradient.
double sft_loss(models::CausalModel& model, const LabelledBatch& batch);

// The same sum; adds the gradient of sum / denominator to every parameter that trains. `denominator` is the
// number of labelled rows of the whole optimiser step, so that micro-batches weigh by their tokens.
// Head and cross entropy see the labelled rows only, in chunks: never more than a chunk of logits is alive.
// `also` gives a scalar of the same pass that is minimised with it; it is called after the forward pass.
double sft_backward(models::CausalModel& model, const LabelledBatch& batch, double denominator,
                    std::vector<models::RouterRecord>* routers = nullptr, const std::function<at::Tensor()>& also = {});

// Rows of logits that are alive at once, in numbers of so many bytes.
int64_t logit_rows(int64_t vocabulary, int64_t bytes);

// Backward from a pass's hidden states and, if defined, from a scalar of it, in one go.
void backward_through(const at::Tensor& hidden_ND, const at::Tensor& gradient_ND, const at::Tensor& also);

}  // namespace masbak::trainer

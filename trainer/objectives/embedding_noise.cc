#include "trainer/objectives/embedding_noise.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <utility>

#include "base/error.h"

namespace masbak::trainer {

struct EmbeddingNoise::State {
  double alpha;
  at::Generator generator;
  std::vector<models::Slice> sequences;  // of the pass that gets noise; empty: none does
};

class EmbeddingNoise::Embedding final : public models::TokenEmbedding {
 public:
  Embedding(std::shared_ptr<models::TokenEmbedding> base, std::shared_ptr<State> state)
      : base_(std::move(base)), state_(std::move(state)) {}

  at::Tensor forward(const at::Tensor& ids_T) const override {
    const at::Tensor y_TD = base_->forward(ids_T);
    if (state_->sequences.empty()) return y_TD;
    at::Tensor noise_TD = at::zeros_like(y_TD);
    for (const models::Slice& slice : state_->sequences) {
      const double bound = state_->alpha / std::sqrt(static_cast<double>(slice.length * y_TD.size(1)));
      noise_TD.narrow(0, slice.begin, slice.length).uniform_(-bound, bound, state_->generator);
    }
    return y_TD + noise_TD;
  }
  at::Tensor weight() const override { return base_->weight(); }

 private:
  std::shared_ptr<models::TokenEmbedding> base_;
  std::shared_ptr<State> state_;
};

EmbeddingNoise::EmbeddingNoise(double alpha, at::Generator generator)
    : state_(std::make_shared<State>(State{alpha, std::move(generator), {}})) {}

void EmbeddingNoise::attach(models::CausalModel& model) const {
  if (!model.embedding()) {
    throw base::Error(base::Code::kUnimplemented, "this model's embedding cannot be given noise; remove the option",
                      {"", 0, "training.neftune_noise_alpha"});
  }
  *model.embedding() = std::make_shared<Embedding>(*model.embedding(), state_);
}

EmbeddingNoise::Pass EmbeddingNoise::add(const std::vector<models::Slice>& sequences) const {
  state_->sequences = sequences;
  return Pass(&state_->sequences);
}

}  // namespace masbak::trainer

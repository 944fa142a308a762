// From the logits of one place to the next token.
#pragma once

#include <cstdint>
#include <vector>

#include "models/generation/engine.h"

namespace masbak::models {

// A stream of numbers of one request, fixed by its seed alone: what else runs does not change it.
class RandomStream {
 public:
  explicit RandomStream(uint64_t seed) : state_(seed) {}
  double uniform();  // in [0, 1), 53 bits

 private:
  uint64_t state_;
};

// The most likely id at temperature 0 (the lowest of equals); else a draw from the softmax of logits / temperature
// cut to the top_k most likely and then to the smallest set that holds top_p, in transformers' order.
// `logits` is overwritten. INTERNAL if no logit is a number.
int32_t sample_token(std::vector<float>& logits, const SamplingOptions& options, RandomStream& random);

}  // namespace masbak::models

// What every layer of one forward pass shares: how the packed tokens divide into sequences, and where
// each sequence stands.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "models/layers/paged_latents.h"

namespace masbak::models {

// One layer's rows of one sequence's cache: [capacity, width], of which the first `past` hold tokens.
// Grows by doubling, so that a sequence of n tokens is copied O(1) times a row. Latents on a GPU lie in the pages of
// a pool instead.
class CacheRows {
 public:
  // Writes rows [n, width] behind the first `past` and returns all past + n rows (a view).
  at::Tensor append(const at::Tensor& rows, int64_t past);
  PageList& page_list() { return pages_; }
  int64_t bytes() const;

 private:
  at::Tensor rows_;
  PageList pages_;
};

// Tokens [begin, begin + length) of the batch are one sequence's, at positions past, past + 1, …
struct Segment {
  int64_t begin = 0, length = 0, past = 0;
  std::vector<CacheRows>* cache = nullptr;  // one for each layer; null: nothing is kept, past = 0
};

struct Context {
  std::vector<Segment> segments;  // in the order of the tokens, without gaps
  at::Tensor cos_TF, sin_TF;      // float32, see Rotary::angles
};

}  // namespace masbak::models

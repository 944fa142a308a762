// Writes a model's weights in fewer bits, in bitsandbytes' layout (see quantised_tensor.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace masbak::models {

struct QuantiseOptions {
  std::filesystem::path model, folder;
  std::string to;  // "nf4" (blocks of 64, scales quantised again in blocks of 256) or "int8" (a scale for each row)
};

struct QuantiseResult {
  std::string family;
  int64_t quantised_tensors = 0;
  uint64_t weights_bytes_before = 0, weights_bytes = 0;
};

// Every projection and expert becomes small; embeddings, norms, routers and the head stay as they are. One tensor is
// in memory at a time, so the model may be larger than the memory. The folder appears whole or not at all
// (ALREADY_EXISTS if something is there). INVALID_ARGUMENT for a number that is not finite, and FAILED_PRECONDITION for
// a model whose weights are NF4 or int8 already; FP8 may be the source.
QuantiseResult quantise_model(const QuantiseOptions& options);

}  // namespace masbak::models

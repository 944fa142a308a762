// A dense model of the llama architecture in a GGUF file, seen as Hugging Face sees it: configuration in
// plain numbers, weights in float32 in Hugging Face's order of rows.
//
// Shape letters: D hidden size, F neurons of the feed-forward network, H query heads, G key/value heads,
// K size of a head, V vocabulary.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/document.h"
#include "models/checkpoint/gguf.h"

namespace masbak::models {

// One tensor of a model folder that is still to be computed: so that a model never lies in memory as a
// whole. `numbers` gives shape's product of them, row-major.
struct LazyTensor {
  std::string name;
  std::vector<int64_t> shape;
  std::function<std::vector<float>()> numbers;
  bool keep_float32 = false;  // stored in float32 whatever the model's type
};

class DenseLlama {
 public:
  // Checks the architecture, every size and every tensor. INVALID_ARGUMENT, NOT_FOUND; UNIMPLEMENTED for
  // an architecture, a rope scaling or a tensor that would change the function and is not understood.
  // `file` must outlive this object and every LazyTensor made from it.
  explicit DenseLlama(const GgufFile& file);

  int64_t layers, hidden, neurons, heads, groups, head_size, vocabulary, max_positions;
  double rope_theta, norm_epsilon;
  bool tied_embeddings;
  std::optional<int64_t> bos_id, pad_id;
  std::vector<int64_t> eos_ids;

  // Weights of layer n. Query and key rows are those of Hugging Face: halves, not pairs, are rotated.
  std::vector<float> query(int64_t layer) const;              // [H * K, D]
  std::vector<float> key(int64_t layer) const;                // [G * K, D]
  std::vector<float> value(int64_t layer) const;              // [G * K, D]
  std::vector<float> output(int64_t layer) const;             // [D, H * K]
  std::vector<float> gate(int64_t layer) const;               // [F, D]
  std::vector<float> up(int64_t layer) const;                 // [F, D]
  std::vector<float> down(int64_t layer) const;               // [D, F]
  std::vector<float> attention_norm(int64_t layer) const;     // [D]
  std::vector<float> feed_forward_norm(int64_t layer) const;  // [D]

  // Embedding, last norm and (unless tied) head: the same in every family.
  std::vector<LazyTensor> outer_tensors() const;
  // The fields of config.json that are the same in every family.
  base::Json common_config() const;

 private:
  const GgufTensor& layer_tensor(int64_t layer, const std::string& part, const std::vector<int64_t>& shape) const;
  void read_sizes();
  void check_tensors() const;

  const GgufFile& file_;
};

// The model as it is, family "llama".
base::Json llama_config(const DenseLlama& dense);
std::vector<LazyTensor> llama_tensors(const DenseLlama& dense);

}  // namespace masbak::models

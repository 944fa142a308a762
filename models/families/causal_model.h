// A causal language model of any family, on packed tokens.
//
// Shape letters: T tokens of all sequences one after another, D hidden size, V vocabulary.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/document.h"
#include "models/checkpoint/safetensors.h"
#include "models/layers/projection.h"

namespace masbak::models {

// What one sequence has computed so far, for one model: for MLA the compressed latents and the rotary
// key (kv_lora_rank + qk_rope_head_dim numbers a token and layer), else keys and values.
class KvCache {
 public:
  virtual ~KvCache() = default;
  virtual int64_t length() const = 0;  // tokens held
  virtual int64_t bytes() const = 0;   // memory held
  virtual void truncate(int64_t length) = 0;
};

// One sequence's share of a batch: tokens [begin, begin + length) of it. With a cache the tokens
// continue what the cache holds (and are added to it); without one they start at position 0.
// Attention never crosses from one slice to another.
struct Slice {
  int64_t begin = 0;
  int64_t length = 0;
  KvCache* cache = nullptr;
};

struct Batch {
  at::Tensor ids_T;  // int64
  std::vector<Slice> slices;
};
Batch make_batch(const std::vector<std::vector<int32_t>>& sequences);

// Per MoE layer what the router did in the last forward: for the auxiliary loss and the events.
struct RouterRecord {
  int layer = 0;
  at::Tensor scores_TE;  // after sigmoid or softmax; carries gradient when the router trains
  at::Tensor chosen_TK;  // int64 expert ids
};

struct ModelInfo {
  std::string family;  // "deepseek_v3"
  int64_t layers = 0, hidden = 0, vocabulary = 0, experts = 0, experts_per_token = 0;
  int64_t max_positions = 0;
  int64_t parameters = 0;                  // all; tied ones once
  int64_t active_parameters = 0;           // used for one token
  int64_t kv_cache_numbers_per_token = 0;  // numbers, over all layers; times the dtype's size = bytes
  // What multi-head attention with the same heads would cache: a key and a value of every head.
  int64_t multi_head_numbers_per_token = 0;
  bool tied_embeddings = false;
  // How the names of tensors begin that a checkpoint may hold and plain generation does not use: the layers of
  // multi-token prediction, the head of a model with tied embeddings.
  std::vector<std::string> left_out;
};

class CausalModel {
 public:
  virtual ~CausalModel() = default;
  virtual const ModelInfo& info() const = 0;
  // After the last norm. Gradient flows if autograd is on and something requires it.
  virtual at::Tensor hidden(const Batch& batch, std::vector<RouterRecord>* routers = nullptr) = 0;  // [T, D]
  // hidden_ND -> logits [N, V], in the model's dtype.
  virtual at::Tensor logits(const at::Tensor& hidden_ND) = 0;
  // Every place where a projection sits, in the order of the layers.
  virtual std::vector<Slot> slots() = 0;
  // Where the embedding sits ("model.embed_tokens"); assigning replaces it, and leaves a tied head as it is. Null if
  // the model's cannot be replaced.
  virtual std::shared_ptr<TokenEmbedding>* embedding() { return nullptr; }
  virtual std::unique_ptr<KvCache> make_cache() = 0;
  // A second model that shares every weight tensor of this one (and what its slots hold now), whose
  // slots can be replaced without touching this one.
  virtual std::unique_ptr<CausalModel> share() const = 0;
  at::ScalarType dtype() const;
  virtual at::Tensor embedding_weight() const = 0;  // [V, D], as loaded
  // Called after a slot was replaced or an adapter's numbers changed: drops what was derived from them
  // (MLA's absorbed products).
  virtual void weights_changed() = 0;
  // From now on hidden() keeps of some layers, one of `layers` for each, only their input for the gradient and computes
  // the rest again in backward: the same numbers for less memory. `random` is what the layers' dropout draws from;
  // undefined if nothing does. UNIMPLEMENTED if the model cannot.
  virtual void checkpoint_gradients(const std::vector<bool>& layers, const at::Generator& random);
};

// A tensor of a file, and which part of a weight it fills: all of it, or of expert `expert` the rows from `row` on.
struct StoredTensor {
  std::string name;
  std::vector<int64_t> shape;
  int64_t expert = -1, row = 0;
};

// One weight of a family under its name in transformers 5, and the other ways in which published files hold it:
// each expert by itself, or under an older name.
struct WeightSpec {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<std::vector<StoredTensor>> published;
};

// A family registers itself with one line in families/register.cc.
struct Family {
  std::string name;                      // the model_type of config.json
  std::vector<std::string> other_names;  // model_types that mean the same
  std::vector<std::string> architectures;
  // From the configuration alone: sizes and counts, nothing allocated. Refuses a field that would
  // change the function and is not implemented.
  ModelInfo (*describe)(const base::Fields& config);
  std::vector<WeightSpec> (*weights)(const base::Fields& config);  // every weight, in the order of the layers
  std::unique_ptr<CausalModel> (*load)(const base::Fields& config, const Checkpoint& checkpoint, at::ScalarType dtype);
};
// By model_type, else by `architectures` or the class that auto_map names for AutoModelForCausalLM. UNIMPLEMENTED,
// with the families there are.
const Family& find_family(const base::Fields& config);

// Loads a Hugging Face folder. Weights are mapped where the type allows. Checks every tensor's presence
// and shape. `dtype`: "float32", "bfloat16", or "auto" (config.json's).
std::unique_ptr<CausalModel> load_model(const std::filesystem::path& folder, const std::string& dtype = "auto");

}  // namespace masbak::models

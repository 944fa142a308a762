// What a family makes of a config.json: sizes and choices from which the table of weights, the figures of the model
// and the model itself follow. A family fills one in and is done.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "models/families/causal_model.h"
#include "models/layers/grouped_query_attention.h"
#include "models/layers/rotary.h"
#include "models/layers/router.h"

namespace masbak::models {

struct GroupedQueryShape {
  int64_t heads = 0, groups = 0, head_size = 0;
  double scale = 1.0;
  bool bias = false;
  HeadNorm norm = HeadNorm::kNone;
  double clip = 0;     // bound of queries, keys and values; 0: none
  int64_t window = 0;  // keys that a token sees, itself included; 0: all
};

struct LatentShape {
  int64_t heads = 0, nope = 0, rope = 0, value = 0, latent = 0;
  int64_t query_rank = 0;  // 0: queries come straight from the hidden state
  double scale = 1.0;
  bool bias = false, interleaved = true;

  int64_t query_size() const { return nope + rope; }
};

// Names inside a layer, as transformers 5 has them and as files were published before it.
struct ExpertNames {
  std::string module = "mlp", router = "gate";
  std::string old_module = "mlp", old_router = "gate";
  std::string gate = "gate_proj", up = "up_proj", down = "down_proj";  // each expert by itself, in old_module.experts
  std::string old_gate_up, old_down;  // of all experts, in old_module; empty: each by itself
};

struct ExpertsShape {
  int64_t count = 0, inner = 0;
  int64_t shared_inner = 0;  // of the shared experts together; 0: none
  RouterRule rule;
  bool correction = false;    // the router has a correction bias
  bool float_router = false;  // the router computes in float32 whatever the model's type
  ExpertNames names;
};

struct Blueprint {
  std::string family;
  int64_t vocabulary = 0, hidden = 0, layers = 0, max_positions = 0;
  bool tied = false;
  double norm_epsilon = 1e-6;
  // Granite's: of the embeddings, of what each block adds to the stream, and what logits are divided by.
  double embedding_multiplier = 1, residual_multiplier = 1, logits_divisor = 1;
  Rotary rotary;
  std::variant<GroupedQueryShape, LatentShape> attention;
  int64_t dense_inner = 0;
  bool mlp_bias = false;  // of dense layers and shared experts
  ExpertsShape experts;
  std::vector<bool> sparse;  // which layers have experts
};

std::vector<WeightSpec> weight_table(const Blueprint& plan);
ModelInfo model_info(const Blueprint& plan);
std::unique_ptr<CausalModel> assemble(const Blueprint& plan, const Checkpoint& checkpoint, at::ScalarType dtype);

struct BlueprintFamily {
  Family family;
  Blueprint (*blueprint)(const base::Fields& config);
};

// What the config.json of any family describes. UNIMPLEMENTED for another model_type; else as the family refuses.
Blueprint read_blueprint(const base::Fields& config);

// The entry for families/register.cc. `read` refuses what is missing, inconsistent or not implemented, naming the
// field.
template <Blueprint (*read)(const base::Fields&)>
BlueprintFamily make_family(std::string name, std::vector<std::string> architectures,
                            std::vector<std::string> others = {}) {
  return {{std::move(name), std::move(others), std::move(architectures),
           [](const base::Fields& config) { return model_info(read(config)); },
           [](const base::Fields& config) { return weight_table(read(config)); },
           [](const base::Fields& config, const Checkpoint& checkpoint, at::ScalarType dtype) {
             return assemble(read(config), checkpoint, dtype);
           }},
          read};
}

}  // namespace masbak::models

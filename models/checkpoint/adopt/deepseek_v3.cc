#include "models/checkpoint/adopt/deepseek_v3.h"

#include <cmath>
#include <numbers>
#include <random>

#include "models/checkpoint/float_bits.h"

namespace masbak::models {
namespace {

// The constant of the latent must dwarf the values beside it, whose squares enter the norm as well: at
// 2^14 they change it by about 1e-7, the precision of float32. Among the bfloat16 numbers from 2^14 to
// 2^15 take the one for which the norm's weight, constant / sqrt(latent size), is nearest to a bfloat16
// number too: a rounded weight would scale every value of every layer.
float choose_constant(int64_t latent_size) {
  float best = 0, best_error = 1;
  for (int step = 0; step < 128; ++step) {
    const float constant = 16384.0f * (1.0f + static_cast<float>(step) / 128.0f);
    const float weight = constant / std::sqrt(static_cast<float>(latent_size));
    const float error = std::fabs(float_from_bfloat16(bfloat16_from_float(weight)) / weight - 1.0f);
    if (error < best_error) {
      best = constant;
      best_error = error;
    }
  }
  return best;
}

// Normally distributed numbers, the same on every platform: the standard fixes mt19937_64 but not
// std::normal_distribution. Box and Muller (1958).
class Normal {
 public:
  explicit Normal(uint64_t seed) : random_(seed) {}
  double next() {
    const double u = (static_cast<double>(random_() >> 11) + 0.5) * 0x1p-53;
    const double v = static_cast<double>(random_() >> 11) * 0x1p-53;
    return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
  }

 private:
  std::mt19937_64 random_;
};

// How many neurons a shared part may have: it counts in whole experts, so shared = k (F - shared).
std::string possible_shared(int64_t neurons) {
  std::string list;
  int found = 0;
  for (int64_t parts = 2; parts <= neurons && found < 6; ++parts) {
    if (neurons % parts != 0) continue;
    list += (list.empty() ? "" : ", ") + std::to_string(neurons - neurons / parts);
    ++found;
  }
  return list;
}

std::vector<float> row_range(const std::vector<float>& matrix, int64_t columns, int64_t begin, int64_t end) {
  return {matrix.begin() + begin * columns, matrix.begin() + end * columns};
}

std::vector<float> column_range(const std::vector<float>& matrix, int64_t columns, int64_t begin, int64_t end) {
  std::vector<float> part;
  const int64_t rows = static_cast<int64_t>(matrix.size()) / columns;
  part.reserve(rows * (end - begin));
  for (int64_t row = 0; row < rows; ++row) {
    const auto start = matrix.begin() + row * columns;
    part.insert(part.end(), start + begin, start + end);
  }
  return part;
}

}  // namespace

DeepseekRewrite::DeepseekRewrite(const DenseLlama& dense, const ExpertOptions& options)
    : dense_(dense),
      options_(options),
      rope_size_(dense.groups * dense.head_size),
      latent_size_(dense.groups * dense.head_size + 1),
      constant_(choose_constant(latent_size_)) {
  const auto refuse = [](const std::string& option, const std::string& message) {
    base::fail_input(message, {"", 0, option});
  };
  if (options_.shared == 0) options_.shared = dense.neurons / 2;
  if (options_.experts < 2 || options_.experts > 4096) {
    refuse("--experts", "expected 2 to 4096 experts, found " + std::to_string(options_.experts));
  }
  if (options_.top_k < 1 || options_.top_k > options_.experts) {
    refuse("--top-k", "expected 1 to " + std::to_string(options_.experts) + ", the number of experts, found " +
                          std::to_string(options_.top_k));
  }
  expert_neurons_ = dense.neurons - options_.shared;
  if (options_.shared < 1 || expert_neurons_ < 1 || options_.shared % expert_neurons_ != 0) {
    refuse("--shared", "the shared experts must hold a whole multiple of the neurons of one routed expert: of the " +
                           std::to_string(dense.neurons) + " neurons, " + possible_shared(dense.neurons) +
                           " can be shared, but found " + std::to_string(options_.shared));
  }
}

base::Json DeepseekRewrite::config() const {
  base::Json config{{"architectures", {"DeepseekV3ForCausalLM"}}, {"model_type", "deepseek_v3"}};
  config.update(dense_.common_config());
  config.update({{"attention_bias", true},  // for the constant latent dimension
                 {"num_key_value_heads", dense_.heads},
                 {"q_lora_rank", nullptr},
                 {"kv_lora_rank", latent_size_},
                 {"qk_nope_head_dim", dense_.head_size},
                 {"qk_rope_head_dim", rope_size_},
                 {"qk_head_dim", dense_.head_size + rope_size_},
                 {"head_dim", rope_size_},
                 {"v_head_dim", dense_.head_size},
                 {"rope_interleave", false},
                 {"moe_intermediate_size", expert_neurons_},
                 {"n_routed_experts", options_.experts},
                 {"n_shared_experts", options_.shared / expert_neurons_},
                 {"num_experts_per_tok", options_.top_k},
                 {"n_group", 1},
                 {"topk_group", 1},
                 {"norm_topk_prob", true},
                 {"routed_scaling_factor", 1.0},
                 {"scoring_func", "sigmoid"},
                 {"topk_method", "noaux_tc"},
                 {"first_k_dense_replace", 0},
                 {"moe_layer_freq", 1},
                 {"num_nextn_predict_layers", 0}});
  // Slot s of the shared key's frequencies belongs to frequency s / groups of a head. A factor divides the
  // frequency that the slot would have by itself.
  base::Json factors = base::Json::array();
  for (int64_t slot = 0; slot < rope_size_ / 2; ++slot) {
    const double own = -2.0 * static_cast<double>(slot) / static_cast<double>(rope_size_);
    const double wanted = -2.0 * static_cast<double>(slot / dense_.groups) / static_cast<double>(dense_.head_size);
    factors.push_back(std::pow(dense_.rope_theta, own - wanted));
  }
  config["rope_parameters"] = {{"rope_type", "longrope"},
                               {"rope_theta", dense_.rope_theta},
                               {"factor", 1.0},
                               {"attention_factor", 1.0},
                               {"short_factor", factors},
                               {"long_factor", factors},
                               {"original_max_position_embeddings", dense_.max_positions}};
  return config;
}

// Where dimension k of group g's keys lies in the shared rotary key. Halves are rotated, k and k + K/2 by
// frequency k, and so must their places be, half a shared key apart.
int64_t DeepseekRewrite::shared_key_row(int64_t group, int64_t dimension) const {
  const int64_t half = dense_.head_size / 2;
  return (dimension / half) * (rope_size_ / 2) + (dimension % half) * dense_.groups + group;
}

// q_proj: [H * (K + R), D], R the size of the shared key. Zero in the K unrotated dimensions and outside
// the head's own group.
std::vector<float> DeepseekRewrite::queries(int64_t layer) const {
  const std::vector<float> dense = dense_.query(layer);
  const int64_t columns = dense_.hidden, size = dense_.head_size, wide = size + rope_size_;
  // MLA divides the scores by sqrt(K + R), the dense model by sqrt(K).
  const float scale = std::sqrt(static_cast<float>(wide) / static_cast<float>(size));
  std::vector<float> rewritten(dense_.heads * wide * columns, 0.0f);
  for (int64_t head = 0; head < dense_.heads; ++head) {
    const int64_t group = head * dense_.groups / dense_.heads;
    for (int64_t k = 0; k < size; ++k) {
      const float* from = dense.data() + (head * size + k) * columns;
      float* to = rewritten.data() + (head * wide + size + shared_key_row(group, k)) * columns;
      for (int64_t d = 0; d < columns; ++d) to[d] = from[d] * scale;
    }
  }
  return rewritten;
}

// kv_a_proj_with_mqa: [latent + R, D]: all groups' values, a row of zeros (its bias is the constant), and
// all groups' keys in the shared key.
std::vector<float> DeepseekRewrite::compressor(int64_t layer) const {
  const std::vector<float> value = dense_.value(layer), key = dense_.key(layer);
  const int64_t columns = dense_.hidden, size = dense_.head_size;
  std::vector<float> rewritten((latent_size_ + rope_size_) * columns, 0.0f);
  std::copy(value.begin(), value.end(), rewritten.begin());
  for (int64_t group = 0; group < dense_.groups; ++group) {
    for (int64_t k = 0; k < size; ++k) {
      const auto from = key.begin() + (group * size + k) * columns;
      std::copy(from, from + columns, rewritten.begin() + (latent_size_ + shared_key_row(group, k)) * columns);
    }
  }
  return rewritten;
}

// kv_b_proj: [H * (K + K), latent]: no unrotated key, and as value the group's part of the latent.
std::vector<float> DeepseekRewrite::expander() const {
  const int64_t size = dense_.head_size;
  std::vector<float> rewritten(dense_.heads * 2 * size * latent_size_, 0.0f);
  for (int64_t head = 0; head < dense_.heads; ++head) {
    const int64_t group = head * dense_.groups / dense_.heads;
    for (int64_t k = 0; k < size; ++k) {
      rewritten[(head * 2 * size + size + k) * latent_size_ + group * size + k] = 1.0f;
    }
  }
  return rewritten;
}

// The norm divides by about constant / sqrt(latent size); its weight undoes that. The constant itself has
// done its work: weight 0 keeps it from whoever reads the latent, such as an adapter of kv_b_proj.
std::vector<float> DeepseekRewrite::latent_norm() const {
  const double mean_square = static_cast<double>(constant_) * constant_ / static_cast<double>(latent_size_);
  std::vector<float> weight(latent_size_, static_cast<float>(std::sqrt(mean_square + dense_.norm_epsilon)));
  weight.back() = 0.0f;
  return weight;
}

std::vector<float> DeepseekRewrite::router(int64_t layer) const {
  // A stream of its own for each layer: the order in which tensors are written does not matter.
  Normal normal(options_.seed * 1'000'003 + static_cast<uint64_t>(layer));
  std::vector<float> weights(options_.experts * dense_.hidden);
  for (float& weight : weights) weight = static_cast<float>(0.02 * normal.next());
  return weights;
}

void DeepseekRewrite::add_attention(int64_t layer, std::vector<LazyTensor>& tensors) const {
  const std::string prefix = "model.layers." + std::to_string(layer) + ".self_attn.";
  const int64_t hidden = dense_.hidden, size = dense_.head_size, heads = dense_.heads;
  tensors.push_back(
      {prefix + "q_proj.weight", {heads * (size + rope_size_), hidden}, [this, layer] { return queries(layer); }});
  tensors.push_back({prefix + "kv_a_proj_with_mqa.weight", {latent_size_ + rope_size_, hidden}, [this, layer] {
                       return compressor(layer);
                     }});
  tensors.push_back({prefix + "kv_a_proj_with_mqa.bias", {latent_size_ + rope_size_}, [this] {
                       std::vector<float> bias(latent_size_ + rope_size_, 0.0f);
                       bias[latent_size_ - 1] = constant_;
                       return bias;
                     }});
  tensors.push_back({prefix + "kv_a_layernorm.weight", {latent_size_}, [this] { return latent_norm(); }});
  tensors.push_back({prefix + "kv_b_proj.weight", {heads * 2 * size, latent_size_}, [this] { return expander(); }});
  tensors.push_back({prefix + "o_proj.weight", {hidden, heads * size}, [this, layer] { return dense_.output(layer); }});
  tensors.push_back({prefix + "o_proj.bias", {hidden}, [hidden] { return std::vector<float>(hidden, 0.0f); }});
}

void DeepseekRewrite::add_experts(int64_t layer, std::vector<LazyTensor>& tensors) const {
  const std::string prefix = "model.layers." + std::to_string(layer) + ".mlp.";
  const int64_t hidden = dense_.hidden, neurons = dense_.neurons, shared = options_.shared;
  // The neurons [begin, end) as an expert of their own.
  const auto add = [&](const std::string& expert, int64_t begin, int64_t end) {
    const DenseLlama& dense = dense_;
    tensors.push_back({prefix + expert + ".gate_proj.weight", {end - begin, hidden}, [=, &dense] {
                         return row_range(dense.gate(layer), hidden, begin, end);
                       }});
    tensors.push_back({prefix + expert + ".up_proj.weight", {end - begin, hidden}, [=, &dense] {
                         return row_range(dense.up(layer), hidden, begin, end);
                       }});
    tensors.push_back({prefix + expert + ".down_proj.weight", {hidden, end - begin}, [=, &dense] {
                         return column_range(dense.down(layer), neurons, begin, end);
                       }});
  };
  add("shared_experts", 0, shared);
  for (int64_t e = 0; e < options_.experts; ++e) add("experts." + std::to_string(e), shared, neurons);
  tensors.push_back({prefix + "gate.weight", {options_.experts, hidden}, [this, layer] { return router(layer); }});
  tensors.push_back({prefix + "gate.e_score_correction_bias",
                     {options_.experts},
                     [this] { return std::vector<float>(options_.experts, 0.0f); },
                     true});
}

std::vector<LazyTensor> DeepseekRewrite::tensors() const {
  std::vector<LazyTensor> tensors = dense_.outer_tensors();
  for (int64_t n = 0; n < dense_.layers; ++n) {
    const std::string prefix = "model.layers." + std::to_string(n) + ".";
    tensors.push_back(
        {prefix + "input_layernorm.weight", {dense_.hidden}, [this, n] { return dense_.attention_norm(n); }});
    tensors.push_back({prefix + "post_attention_layernorm.weight", {dense_.hidden}, [this, n] {
                         return dense_.feed_forward_norm(n);
                       }});
    add_attention(n, tensors);
    add_experts(n, tensors);
  }
  return tensors;
}

}  // namespace masbak::models

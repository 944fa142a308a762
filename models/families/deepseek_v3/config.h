// The fields of a deepseek_v3 config.json that shape the model.
#pragma once

#include <cstdint>

#include "base/document.h"
#include "models/layers/rotary.h"

namespace masbak::models::deepseek_v3 {

struct Config {
  int64_t vocabulary, hidden, layers, heads, max_positions;
  int64_t query_rank;  // 0: queries come straight from the hidden state
  int64_t latent, nope, rope, value;
  int64_t dense_layers, dense_inner, expert_inner;
  int64_t experts, experts_per_token, shared_experts, groups, chosen_groups;
  bool normalise, attention_bias, interleaved, tied;
  double routed_scale, norm_epsilon;
  Rotary rotary;

  int64_t query_size() const { return nope + rope; }
};

// Refuses what is missing, inconsistent or not implemented, naming the field.
Config read_config(const base::Fields& fields);

}  // namespace masbak::models::deepseek_v3

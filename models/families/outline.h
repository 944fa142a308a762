// The parts of a blueprint that several families read from config.json in the same way. Fallbacks that differ are
// arguments: they are those of the family's class in transformers.
#pragma once

#include <cstdint>
#include <string>

#include "base/document.h"
#include "models/families/blueprint.h"

namespace masbak::models {

struct OutlineDefaults {
  int64_t max_positions;
  double norm_epsilon;
};

// Vocabulary, hidden size, layers (none with experts yet), norms, tied embeddings, MLPs.
Blueprint read_outline(const base::Fields& config, const std::string& family, const OutlineDefaults& defaults);

// Heads of grouped-query attention, whose scale is that of their size. `groups` is the fallback for
// num_key_value_heads, 0: as many as heads.
GroupedQueryShape read_grouped_query(const base::Fields& config, const Blueprint& plan, int64_t groups = 0);

struct LatentDefaults {
  int64_t latent = 512, rope = 64, nope = 128, value = 128;
};
// Multi-head latent attention. The scale is that of yarn only after read_positions.
LatentShape read_latent(const base::Fields& config, const LatentDefaults& defaults = {});

// The rotary embedding of the attention that the plan has by now; `theta` is the family's own.
void read_positions(const base::Fields& config, Blueprint& plan, double theta = 10000.0);

// Experts of `inner` neurons behind a softmax router without groups. `per_token` is a fallback.
ExpertsShape read_softmax_experts(const base::Fields& config, int64_t inner, int64_t count, int64_t per_token);

struct SigmoidDefaults {
  int64_t count, inner, per_token, groups, chosen_groups;
  double scale;
};
// DeepSeek-V3's experts behind its sigmoid router.
ExpertsShape read_sigmoid_experts(const base::Fields& config, const SigmoidDefaults& defaults);

// n_shared_experts, in units of one routed expert of `inner` neurons.
int64_t read_shared_inner(const base::Fields& config, int64_t inner, int64_t fallback);

// n_group and topk_group, which must fit the experts that the rule has by now.
void read_groups(const base::Fields& config, ExpertsShape& experts, int64_t groups, int64_t chosen_groups);

// Granite's multipliers, and its attention's scale.
void read_multipliers(const base::Fields& config, Blueprint& plan);

// Refuses what nobody has read and would change the function.
void finish_outline(const base::Fields& config, const Blueprint& plan);

}  // namespace masbak::models

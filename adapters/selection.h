// Which places of a model the names of an adapter section mean.
#pragma once

#include <string>
#include <vector>

#include "adapters/plan.h"

namespace masbak::adapters {

// What the names mean at one place.
struct PlaceChoice {
  bool chosen = false;
  std::vector<int64_t> experts;  // of fused experts that are not all chosen: which are, in order; empty: all
};

// One a place: target_modules, less exclude_modules, and target_parameters, in the layers of layers_to_transform. A run
// file may name single experts ("mlp.experts.3", "experts.3.down_proj") to choose or to exclude.
// INVALID_ARGUMENT for a run file's entry that matches nothing, with the nearest names and the groups, and for the gate
// of an expert without its up projection (or the other way), which are one parameter.
std::vector<PlaceChoice> targeted_places(const LoraConfig& config, const std::vector<PlanPlace>& places,
                                         Matching matching);

// One flag a place for modules_to_save. PEFT compares ends of names without regard to their dots; a run file's entries
// (`strict`) end at a dot. INVALID_ARGUMENT for an entry that matches nothing, UNIMPLEMENTED for a place of which no
// whole copy can be kept.
std::vector<bool> saved_places(const LoraConfig& config, const std::vector<PlanPlace>& places, bool strict);

// "mlp.experts.gate_up_proj" -> "mlp.experts.0.gate_proj" and what else transformers 4 called the linears of one
// expert that are one parameter now.
std::vector<std::string> single_expert_names(const PlanPlace& place);

}  // namespace masbak::adapters

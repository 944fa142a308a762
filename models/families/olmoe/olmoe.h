// OLMoE (2024): queries and keys normed over all heads together, and experts in every layer.
#pragma once

#include "models/families/causal_model.h"

namespace masbak::models {

Family olmoe_family();

}  // namespace masbak::models

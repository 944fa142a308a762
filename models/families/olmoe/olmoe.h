// OLMoE (2024): queries and keys normed over all heads together, and experts in every layer.
#pragma once

#include "models/families/blueprint.h"

namespace masbak::models {

BlueprintFamily olmoe_family();

}  // namespace masbak::models

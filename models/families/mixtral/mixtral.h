// Mixtral (2024): grouped-query attention, with a sliding window in some, and experts in every layer.
#pragma once

#include "models/families/blueprint.h"

namespace masbak::models {

BlueprintFamily mixtral_family();

}  // namespace masbak::models

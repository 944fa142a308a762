// GLM-4.7-Flash (2026): DeepSeek-V3's layers, with a list that says which are dense.
#pragma once

#include "models/families/blueprint.h"

namespace masbak::models {

BlueprintFamily glm4_moe_lite_family();

}  // namespace masbak::models

// Qwen3 with experts (2025): heads normed one by one, and dense layers where the configuration says so.
#pragma once

#include "models/families/blueprint.h"

namespace masbak::models {

BlueprintFamily qwen3_moe_family();

}  // namespace masbak::models

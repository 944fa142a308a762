// GLM-4.7-Flash (2026): DeepSeek-V3's layers, with a list that says which are dense.
#pragma once

#include "models/families/causal_model.h"

namespace masbak::models {

Family glm4_moe_lite_family();

}  // namespace masbak::models

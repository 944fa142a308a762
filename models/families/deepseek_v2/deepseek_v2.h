// DeepSeek-V2 and V2-Lite (2024): multi-head latent attention and experts behind a softmax router, greedy or limited
// to the best groups.
#pragma once

#include "models/families/blueprint.h"

namespace masbak::models {

BlueprintFamily deepseek_v2_family();

}  // namespace masbak::models

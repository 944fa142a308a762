// DeepSeek-V3 (2024), which Moonlight and Kimi K2 also are: multi-head latent attention, a few dense layers,
// then mixtures of experts behind a sigmoid router.
#pragma once

#include "models/families/blueprint.h"

namespace masbak::models {

BlueprintFamily deepseek_v3_family();

}  // namespace masbak::models

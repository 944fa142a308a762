// Llama (1 to 3) and every dense model that calls itself so: grouped-query attention and gated MLPs.
#pragma once

#include "models/families/blueprint.h"

namespace masbak::models {

BlueprintFamily llama_family();

}  // namespace masbak::models

// IBM's Granite 3 with experts: Granite whose router takes the softmax over the chosen experts alone.
#pragma once

#include "models/families/blueprint.h"

namespace masbak::models {

BlueprintFamily granitemoe_family();

}  // namespace masbak::models

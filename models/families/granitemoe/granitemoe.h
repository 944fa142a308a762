// IBM's Granite 3 with experts: Granite whose router takes the softmax over the chosen experts alone.
#pragma once

#include "models/families/causal_model.h"

namespace masbak::models {

Family granitemoe_family();

}  // namespace masbak::models

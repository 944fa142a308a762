// Mixtral (2024): grouped-query attention, with a sliding window in some, and experts in every layer.
#pragma once

#include "models/families/causal_model.h"

namespace masbak::models {

Family mixtral_family();

}  // namespace masbak::models

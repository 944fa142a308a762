// The families there are.
#pragma once

#include <vector>

#include "models/families/causal_model.h"

namespace masbak::models {

const std::vector<Family>& families();

}  // namespace masbak::models

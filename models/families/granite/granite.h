// IBM's Granite 3: Llama with multipliers of the embeddings, the blocks, the scores and the logits.
#pragma once

#include "models/families/causal_model.h"

namespace masbak::models {

Family granite_family();

}  // namespace masbak::models

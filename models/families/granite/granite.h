// IBM's Granite 3: Llama with multipliers of the embeddings, the blocks, the scores and the logits.
#pragma once

#include "models/families/blueprint.h"

namespace masbak::models {

BlueprintFamily granite_family();

}  // namespace masbak::models

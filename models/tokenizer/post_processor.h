// Post-processors of tokenizer.json: the special tokens that a whole text gets around it.
#pragma once

#include <cstdint>
#include <vector>

#include "models/tokenizer/config.h"

namespace masbak::models {

struct PostProcessor {
  std::vector<int32_t> before, after;
};

// What the processor puts around a single text when special tokens are asked for.
// UNIMPLEMENTED, by name, for what there is not here.
PostProcessor read_post_processor(const Config& config);

}  // namespace masbak::models

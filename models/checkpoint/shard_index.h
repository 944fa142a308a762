// model.safetensors.index.json: which shard of a model folder holds which tensor.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace masbak::models {

// Tensor name -> file name in the same folder. Takes time in proportion to the text: DeepSeek-V3's index has 91,991
// names. INVALID_ARGUMENT with `file` for what is no index, a name that appears twice, and a file name that leads out
// of the folder.
std::map<std::string, std::string> parse_shard_index(std::string_view text, const std::string& file);

}  // namespace masbak::models

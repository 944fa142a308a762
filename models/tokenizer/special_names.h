// The named special tokens of a model folder: bos_token, eos_token, pad_token and so on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/document.h"

namespace masbak::models {

struct SpecialNames {
  std::map<std::string, std::string> tokens;  // "bos_token" → "<s>", …
  std::vector<int32_t> eos_ids;               // generation_config's eos_token_id

  std::string get(const std::string& name) const;
};

// From special_tokens_map.json, tokenizer_config.json (which wins) and generation_config.json, as far as
// they are there. INVALID_ARGUMENT if one of them is damaged.
SpecialNames read_special_names(const std::filesystem::path& folder);

}  // namespace masbak::models

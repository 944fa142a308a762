// What stands beside a tokenizer in its model folder: the named special tokens (bos_token and so on), tokens to add,
// and switches, as transformers reads them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/document.h"
#include "models/tokenizer/added_tokens.h"

namespace masbak::models {

struct SpecialNames {
  std::map<std::string, AddedToken> tokens;  // "bos_token" → "<s>", …
  std::vector<std::string> order;            // the keys of `tokens` as transformers goes through them
  std::vector<int32_t> eos_ids;              // generation_config's eos_token_id
  std::map<int64_t, AddedToken> decoder;     // tokenizer_config's added_tokens_decoder
  std::vector<AddedToken> extra;             // extra_special_tokens, additional_special_tokens
  bool has_extra = false;
  std::string tokenizer_class;  // without "Fast"; "" if none is named
  bool add_bos_token = false, add_eos_token = false;
  bool legacy = false, add_prefix_space = true;
  bool clean_up_tokenization_spaces = false;
  bool split_special_tokens = false;

  std::string get(const std::string& name) const;
  void set_default(const std::string& name, const std::string& content);
};

// From tokenizer_config.json, special_tokens_map.json (which wins, but is not read where tokenizer_config has an
// added_tokens_decoder) and generation_config.json, as far as they are there. INVALID_ARGUMENT if one is damaged.
SpecialNames read_special_names(const std::filesystem::path& folder);

// The tokens that transformers adds to a tokenizer which has the tokens `present`.
std::vector<AddedToken> tokens_to_add(const SpecialNames& names, const AddedTokens& present);

}  // namespace masbak::models

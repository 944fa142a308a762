#include "models/tokenizer/special_names.h"

namespace masbak::models {
namespace {

void read_tokens(const std::filesystem::path& file, SpecialNames& names) {
  if (!std::filesystem::exists(file)) return;
  base::Json json = base::read_json(file);
  if (!json.is_object()) base::fail_input("expected an object, found another value", {.file = file.string()});
  for (const auto& [key, value] : json.items()) {
    if (!key.ends_with("_token")) continue;
    if (value.is_string()) names.tokens[key] = value.get<std::string>();
    if (value.is_object() && value.contains("content") && value["content"].is_string()) {
      names.tokens[key] = value["content"].get<std::string>();
    }
  }
}

}  // namespace

std::string SpecialNames::get(const std::string& name) const {
  auto found = tokens.find(name);
  return found == tokens.end() ? "" : found->second;
}

SpecialNames read_special_names(const std::filesystem::path& folder) {
  SpecialNames names;
  read_tokens(folder / "special_tokens_map.json", names);
  read_tokens(folder / "tokenizer_config.json", names);
  std::filesystem::path file = folder / "generation_config.json";
  if (!std::filesystem::exists(file)) return names;
  base::Json generation = base::read_json(file);
  if (!generation.is_object() || !generation.contains("eos_token_id")) return names;
  const base::Json& eos = generation["eos_token_id"];
  base::Json list = eos.is_array() ? eos : eos.is_null() ? base::Json::array() : base::Json::array({eos});
  for (const base::Json& id : list) {
    if (!id.is_number_integer()) {
      base::fail_input("expected an id or a list of ids, found " + eos.dump(),
                       {.file = file.string(), .field = "eos_token_id"});
    }
    names.eos_ids.push_back(id.get<int32_t>());
  }
  return names;
}

}  // namespace masbak::models

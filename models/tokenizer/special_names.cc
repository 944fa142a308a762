#include "models/tokenizer/special_names.h"

#include <algorithm>

namespace masbak::models {
namespace {

constexpr const char* kStandardNames[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                          "pad_token", "cls_token", "mask_token"};

AddedToken special_token(const std::string& content) { return {.content = content, .special = true}; }

// A token written as its text or as an object with flags.
std::optional<AddedToken> read_token(const base::Json& value) {
  if (value.is_string()) return special_token(value.get<std::string>());
  if (!value.is_object() || !value.contains("content") || !value["content"].is_string()) return std::nullopt;
  AddedToken token{.content = value["content"].get<std::string>()};
  auto flag = [&](const char* name, bool fallback) {
    return value.contains(name) && value[name].is_boolean() ? value[name].get<bool>() : fallback;
  };
  token.special = flag("special", false);
  token.single_word = flag("single_word", false);
  token.lstrip = flag("lstrip", false);
  token.rstrip = flag("rstrip", false);
  token.normalized = flag("normalized", !token.special);
  return token;
}

void name_token(SpecialNames& names, const std::string& name, const AddedToken& token) {
  if (names.tokens.insert_or_assign(name, token).second) names.order.push_back(name);
}

base::Json read_object(const std::filesystem::path& file) {
  if (!std::filesystem::exists(file)) return base::Json::object();
  base::Json json = base::read_json(file);
  if (!json.is_object()) base::fail_input("expected an object, found another value", {.file = file.string()});
  return json;
}

void read_extra(const base::Json& json, SpecialNames& names) {
  for (const char* key : {"extra_special_tokens", "additional_special_tokens"}) {
    auto list = json.find(key);
    if (list == json.end() || list->is_null()) continue;
    names.has_extra = true;
    if (list->is_object()) {  // named by the model itself
      for (const auto& [name, value] : list->items()) {
        if (auto token = read_token(value)) name_token(names, name, *token);
      }
    } else if (list->is_array() && names.extra.empty()) {
      for (const base::Json& value : *list) {
        if (auto token = read_token(value)) names.extra.push_back(*token);
      }
    }
  }
}

void read_tokens(const base::Json& json, bool all_special, SpecialNames& names) {
  for (const auto& [key, value] : json.items()) {
    if (!key.ends_with("_token")) continue;
    auto token = read_token(value);
    if (!token) continue;
    token->special = token->special || all_special;
    name_token(names, key, *token);
  }
  read_extra(json, names);
}

void read_decoder(const base::Json& json, const std::string& file, SpecialNames& names) {
  for (const auto& [key, value] : json.items()) {
    auto token = read_token(value);
    const bool number = !key.empty() && key.size() < 10 &&
                        std::all_of(key.begin(), key.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (!token || !number) {
      base::fail_input("expected an id with its token, found \"" + key + "\": " + value.dump(),
                       {.file = file, .field = "added_tokens_decoder"});
    }
    names.decoder[std::stoll(key)] = *token;
  }
}

void read_eos_ids(const std::filesystem::path& file, SpecialNames& names) {
  const base::Json generation = read_object(file);
  if (!generation.contains("eos_token_id")) return;
  const base::Json& eos = generation["eos_token_id"];
  base::Json list = eos.is_array() ? eos : eos.is_null() ? base::Json::array() : base::Json::array({eos});
  for (const base::Json& id : list) {
    if (!id.is_number_integer()) {
      base::fail_input("expected an id or a list of ids, found " + eos.dump(),
                       {.file = file.string(), .field = "eos_token_id"});
    }
    names.eos_ids.push_back(id.get<int32_t>());
  }
}

}  // namespace

std::string SpecialNames::get(const std::string& name) const {
  auto found = tokens.find(name);
  return found == tokens.end() ? "" : found->second.content;
}

void SpecialNames::set_default(const std::string& name, const std::string& content) {
  if (!tokens.contains(name)) name_token(*this, name, special_token(content));
}

SpecialNames read_special_names(const std::filesystem::path& folder) {
  SpecialNames names;
  const std::filesystem::path file = folder / "tokenizer_config.json";
  const base::Json json = read_object(file);
  read_tokens(json, false, names);
  if (json.contains("added_tokens_decoder") && json["added_tokens_decoder"].is_object()) {
    read_decoder(json["added_tokens_decoder"], file.string(), names);
  } else {
    read_tokens(read_object(folder / "special_tokens_map.json"), true, names);
  }
  auto flag = [&](const char* key, bool fallback) {
    auto value = json.find(key);
    return value != json.end() && value->is_boolean() ? value->get<bool>() : fallback;
  };
  names.add_bos_token = flag("add_bos_token", false);
  names.add_eos_token = flag("add_eos_token", false);
  names.legacy = flag("legacy", false);
  names.add_prefix_space = flag("add_prefix_space", true);
  names.clean_up_tokenization_spaces = flag("clean_up_tokenization_spaces", false);
  names.split_special_tokens = flag("split_special_tokens", false);
  if (json.contains("tokenizer_class") && json["tokenizer_class"].is_string()) {
    std::string name = json["tokenizer_class"].get<std::string>();
    if (name.ends_with("Fast")) name.resize(name.size() - 4);
    names.tokenizer_class = name;
  }
  read_eos_ids(folder / "generation_config.json", names);
  return names;
}

std::vector<AddedToken> tokens_to_add(const SpecialNames& names, const AddedTokens& present) {
  std::vector<AddedToken> tokens;
  auto known = [&](const AddedToken& token) {
    return std::any_of(tokens.begin(), tokens.end(),
                       [&](const AddedToken& other) { return other.content == token.content; }) ||
           std::any_of(present.tokens().begin(), present.tokens().end(),
                       [&](const auto& entry) { return entry.second.content == token.content; });
  };
  for (const auto& entry : names.decoder) {
    const AddedToken& token = entry.second;
    const bool same = std::any_of(present.tokens().begin(), present.tokens().end(),
                                  [&](const auto& other) { return other.second == token; });
    if (!same) tokens.push_back(token);
  }
  // The standard names first, then those of the model's own.
  std::vector<std::string> order(std::begin(kStandardNames), std::end(kStandardNames));
  for (const std::string& name : names.order) {
    if (std::find(order.begin(), order.end(), name) == order.end()) order.push_back(name);
  }
  for (const std::string& name : order) {
    auto found = names.tokens.find(name);
    if (found != names.tokens.end() && !found->second.content.empty() && !known(found->second)) {
      tokens.push_back(found->second);
    }
  }
  for (const AddedToken& token : names.extra) {
    if (!known(token)) tokens.push_back(token);
  }
  for (AddedToken& token : tokens) {
    token.special = token.special || std::any_of(names.tokens.begin(), names.tokens.end(), [&](const auto& entry) {
                      return entry.second.content == token.content;
                    });
  }
  return tokens;
}

}  // namespace masbak::models

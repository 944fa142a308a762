#include "models/tokenizer/config.h"

namespace masbak::models {

const TokenizerJson* Config::find(const std::string& key) const {
  if (!json_->is_object()) fail(std::string("expected an object, found ") + json_->type_name());
  auto found = json_->find(key);
  return found == json_->end() || found->is_null() ? nullptr : &*found;
}

void Config::wrong(const std::string& key, const std::string& expected) const {
  const TokenizerJson* value = find(key);
  base::fail_input("expected " + expected + ", found " + (value == nullptr ? "nothing" : value->type_name()) +
                       "; take the file from the model's publisher again",
                   {.file = file_, .field = path_of(key)});
}

bool Config::has(const std::string& key) const { return find(key) != nullptr; }

std::string Config::string(const std::string& key) const {
  const TokenizerJson* value = find(key);
  if (value == nullptr || !value->is_string()) wrong(key, "a string");
  return value->get<std::string>();
}

std::string Config::string(const std::string& key, const std::string& fallback) const {
  return has(key) ? string(key) : fallback;
}

bool Config::boolean(const std::string& key, bool fallback) const {
  const TokenizerJson* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) wrong(key, "true or false");
  return value->get<bool>();
}

int64_t Config::integer(const std::string& key) const {
  const TokenizerJson* value = find(key);
  if (value == nullptr || !value->is_number_integer()) wrong(key, "an integer");
  return value->get<int64_t>();
}

Config Config::child(const std::string& key) const {
  static const TokenizerJson kNull;
  const TokenizerJson* value = find(key);
  return {value == nullptr ? kNull : *value, file_, path_of(key)};
}

std::vector<Config> Config::list(const std::string& key) const {
  const TokenizerJson* value = find(key);
  if (value == nullptr || !value->is_array()) wrong(key, "a list");
  std::vector<Config> items;
  items.reserve(value->size());
  for (size_t i = 0; i < value->size(); ++i) {
    items.emplace_back((*value)[i], file_, path_of(key) + "[" + std::to_string(i) + "]");
  }
  return items;
}

Config Config::item(size_t index) const { return {(*json_)[index], file_, path_ + "[" + std::to_string(index) + "]"}; }

void Config::fail(const std::string& message) const { base::fail_input(message, where()); }

void Config::unimplemented(const std::string& kind, const std::string& name) const {
  throw base::Error(base::Code::kUnimplemented,
                    kind + " \"" + name + "\" is not implemented; use a tokenizer without it", where());
}

ConfigPattern read_pattern(const Config& owner) {
  Config pattern = owner.child("pattern");
  if (pattern.is_null()) owner.fail("expected a pattern, found nothing");
  if (pattern.json().is_string()) return {false, pattern.json().get<std::string>()};
  if (pattern.has("String")) return {false, pattern.string("String")};
  return {true, pattern.string("Regex")};
}

}  // namespace masbak::models

// One object of tokenizer.json, read with errors that name the file and the field.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"

namespace masbak::models {

// Keys sorted: base::Json keeps their order at a cost that grows with the square of the vocabulary.
using TokenizerJson = nlohmann::json;

// A view; the document must outlive it.
class Config {
 public:
  Config(const TokenizerJson& json, std::string file, std::string path = "")
      : json_(&json), file_(std::move(file)), path_(std::move(path)) {}

  bool is_null() const { return json_->is_null(); }
  bool has(const std::string& key) const;  // present and not null
  const TokenizerJson& json() const { return *json_; }

  // Each throws INVALID_ARGUMENT if the key has another type; without a fallback also if it is missing.
  std::string type() const { return string("type"); }
  std::string string(const std::string& key) const;
  std::string string(const std::string& key, const std::string& fallback) const;
  bool boolean(const std::string& key, bool fallback) const;
  int64_t integer(const std::string& key) const;
  Config child(const std::string& key) const;  // a null one if missing
  std::vector<Config> list(const std::string& key) const;
  Config item(size_t index) const;  // of a list, which must be that long

  [[noreturn]] void fail(const std::string& message) const;
  // "KIND NAME is not implemented", for a feature that would change the ids.
  [[noreturn]] void unimplemented(const std::string& kind, const std::string& name) const;
  base::Where where() const { return {.file = file_, .field = path_}; }

 private:
  const TokenizerJson* find(const std::string& key) const;
  std::string path_of(const std::string& key) const { return path_.empty() ? key : path_ + "." + key; }
  [[noreturn]] void wrong(const std::string& key, const std::string& expected) const;

  const TokenizerJson* json_;
  std::string file_;
  std::string path_;
};

// The "pattern" of Split and Replace: {"String": …} or {"Regex": …}.
struct ConfigPattern {
  bool is_regex = false;
  std::string text;
};
ConfigPattern read_pattern(const Config& owner);

}  // namespace masbak::models

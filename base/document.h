// Reading JSON and YAML with errors that say file, line and field, and that name the nearest known key.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace masbak::base {

// Keeps the order of keys: chat templates and golden files depend on it.
using Json = nlohmann::ordered_json;

// Parses one JSON text (RFC 8259; must be UTF-8, NaN is refused). On a fault: INVALID_ARGUMENT with
// `file`, the line counted from `first_line`, and what the parser found there.
Json parse_json(std::string_view text, const std::string& file = "", int first_line = 1);

// Reads a whole JSON file.
Json read_json(const std::filesystem::path& file);

// The closest of `known` to `word` by edit distance, if close enough to be a likely misspelling.
std::optional<std::string> nearest_name(std::string_view word, const std::vector<std::string>& known);

// One mapping of a document, read field by field. Each accessor marks its key as known; `finish` then
// refuses every key that was never asked for, with the nearest known one. Cheap to copy.
//
//   Fields run = Fields::read_yaml("RUN.yaml");
//   Fields training = run.child("training");
//   double rate = training.get<double>("learning_rate", 2e-4);
//   training.finish();
//
// get<T> takes bool, int64_t, double, std::string, std::vector<std::string>, std::vector<int64_t>,
// std::vector<double>. An integer is accepted where a double is wanted, never the reverse, and
// "2e-4", which YAML 1.1 reads as text, is accepted as a number.
class Fields {
 public:
  static Fields read_yaml(const std::filesystem::path& file);
  static Fields read_json(const std::filesystem::path& file);
  static Fields from_yaml_text(std::string_view text, const std::string& file);
  // `line` is given for a JSON Lines row; 0 if there is none. `json` must be an object.
  static Fields from_json(const Json& json, const std::string& file, int line = 0);

  bool has(const std::string& key) const;  // present and not null; marks the key as known
  template <typename T>
  T get(const std::string& key) const;  // required: INVALID_ARGUMENT if missing or of another type
  template <typename T>
  T get(const std::string& key, T fallback) const;
  // The value as it stands, null if missing.
  const Json& raw(const std::string& key) const;
  // A nested mapping; an empty one if the key is missing.
  Fields child(const std::string& key) const;
  // A required nested mapping.
  Fields require_child(const std::string& key) const;
  // Marks a key as known without reading it.
  void accept(std::initializer_list<std::string> keys) const;
  // Refuses every key that no accessor has named.
  void finish() const;

  // INVALID_ARGUMENT located at this field: "…: `message` (file:line, path.key)".
  [[noreturn]] void fail(const std::string& key, const std::string& message) const;
  Where where(const std::string& key = "") const;
  const Json& json() const;
  std::vector<std::string> keys() const;

 private:
  struct Document;
  struct Scope;
  explicit Fields(std::shared_ptr<Scope> scope);
  std::shared_ptr<Scope> scope_;
};

// Calls `row` with each line of a JSON Lines file, parsed, and its number from 1. Blank lines are
// skipped. `bad` receives the Error of a line that is no JSON or not UTF-8; without it, it is thrown.
void read_json_lines(const std::filesystem::path& file, const std::function<void(int line, Json&&)>& row,
                     const std::function<void(const Error&)>& bad = nullptr);

}  // namespace masbak::base

// A parsed document with the line of each of its parts: what Fields stands on. JSON and YAML both end here.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

#include "base/document.h"

namespace masbak::base {

// Deeper documents are refused: what walks a document afterwards recurses.
inline constexpr int kMaxDocumentDepth = 256;

struct LocatedJson {
  Json value;
  // From the JSON pointer (RFC 6901) of a part to its line, counted from 1. Of an entry of a mapping
  // it is the line of the key.
  std::unordered_map<std::string, int> lines;
};

// One reference token appended to a JSON pointer, with '~' and '/' escaped.
std::string pointer_append(const std::string& pointer, std::string_view key);

// As parse_json, with the lines.
LocatedJson parse_located_json(std::string_view text, const std::string& file, int first_line = 1);

// Parses one YAML document. Plain scalars resolve by the core schema of YAML 1.2 (so `yes` is text and
// 2e-4 a number), quoted ones are text. Refused, with file and line, as INVALID_ARGUMENT: what is no
// YAML or not UTF-8, duplicate keys, keys that are no scalars, a second document, unknown tags,
// infinite and not-a-number values, and aliases that blow the document up. An empty text is null.
LocatedJson parse_located_yaml(std::string_view text, const std::string& file);

}  // namespace masbak::base

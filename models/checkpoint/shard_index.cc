#include "models/checkpoint/shard_index.h"

#include "base/document.h"

namespace masbak::models {

std::map<std::string, std::string> parse_shard_index(std::string_view text, const std::string& file) {
  const base::Json json = base::parse_json(text, file);
  const base::Where where{file, 0, "weight_map"};
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object()) {
    base::fail_input("an index must hold weight_map, an object of tensor name to file name", where);
  }
  std::map<std::string, std::string> map;
  for (const auto& [name, value] : json["weight_map"].items()) {
    const std::string shard = value.is_string() ? value.get<std::string>() : "";
    // A shard lies in the folder itself: an index must not lead elsewhere.
    if (shard.empty() || shard.find('/') != std::string::npos || shard.find('\0') != std::string::npos ||
        shard == "." || shard == "..") {
      base::fail_input("weight_map of \"" + name + "\" must be the name of a file in the same folder", where);
    }
    map.emplace(name, shard);
  }
  return map;
}

}  // namespace masbak::models

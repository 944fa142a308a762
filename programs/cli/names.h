// What people type, as resource names.
#pragma once

#include <string>
#include <string_view>

namespace masbak::cli {

// "refinery" → "datasets/refinery"; what begins with the collection stays. INVALID_ARGUMENT for an empty text.
std::string full_name(std::string_view collection, std::string_view text);

// "datasets/refinery" → "refinery", for tables.
std::string short_name(std::string_view name);

// "pump-assistant@3" → "models/pump-assistant/versions/3", "pump-assistant@production" →
// "models/pump-assistant@production"; full names stay. INVALID_ARGUMENT without a version.
std::string version_name(std::string_view text);

// "models/pump-assistant/versions/3" → "pump-assistant@3".
std::string short_version(std::string_view name);

// The model's id in any form of a version's name.
std::string model_id(std::string_view version);

// A file's name as an id: "Pump Notes.jsonl" → "pump-notes"; a folder's with '/' at its end: "Model v1.5/" →
// "model-v1.5". INVALID_ARGUMENT if nothing is left.
std::string id_from_file(const std::string& file);

}  // namespace masbak::cli

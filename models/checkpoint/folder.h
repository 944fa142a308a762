// A Hugging Face model folder as a whole.
#pragma once

#include <filesystem>
#include <string>

#include "base/document.h"

namespace masbak::models {

// config.json of the folder. NOT_FOUND with what a model folder must hold, if there is none.
base::Fields read_model_config(const std::filesystem::path& folder);

// The content digest of a model folder ("sha256:…", base::digest_folder), computed once and cached by
// the identity (path, size, modification time, inode) of its files in ~/.cache/masbak/digests
// (MASBAK_CACHE). Only the files that define the model count: *.safetensors, *.json, *.model, *.jinja.
std::string model_digest(const std::filesystem::path& folder);

// How many bytes model_digest would have to read now: the sizes of the files that no cached digest covers.
uint64_t undigested_bytes(const std::filesystem::path& folder);

}  // namespace masbak::models

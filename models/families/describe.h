// A model without its weights, or without most of its layers: for what is to be known of it before it is loaded.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "models/families/causal_model.h"

namespace masbak::models {

// What load_model gives, from config.json and the headers of the files: slots, names and sizes; the weights are of the
// meta device, take no memory and cannot compute. For plans of models that are larger than the machine. Errors as
// load_model's, but for tensors that are missing or of a wrong shape (inspect_model looks at those).
std::unique_ptr<CausalModel> describe_model(const std::filesystem::path& folder);

// load_model, as if the configuration ended after `layers` layers: embedding, those layers, last norm and head. What it
// computes means nothing; what a layer takes of memory and time can be measured on it. Errors as load_model's.
std::unique_ptr<CausalModel> load_first_layers(const std::filesystem::path& folder, const std::string& dtype,
                                               int64_t layers);

}  // namespace masbak::models

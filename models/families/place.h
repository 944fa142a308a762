// A model in the memory of the device that is to compute it.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "models/families/causal_model.h"

namespace masbak::models {

// load_model, with the weights where `device` says: "cpu", "cuda" or "cuda:N". INVALID_ARGUMENT for another text;
// FAILED_PRECONDITION, which says what is missing, where this machine cannot compute there. The first call of a
// process that names a GPU must come before the process has made a tensor.
std::unique_ptr<CausalModel> load_model_on(const std::string& device, const std::filesystem::path& folder,
                                           const std::string& dtype = "auto");

// Checks `device` and opens what it needs, without a model: so that a run fails before it reads data.
void require_device(const std::string& device);

}  // namespace masbak::models

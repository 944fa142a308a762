// A model without its weights.
#pragma once

#include <filesystem>
#include <memory>

#include "models/families/causal_model.h"

namespace masbak::models {

// What load_model gives, from config.json and the headers of the files: slots, names and sizes; the weights are of the
// meta device, take no memory and cannot compute. For plans of models that are larger than the machine. Errors as
// load_model's, but for tensors that are missing or of a wrong shape (inspect_model looks at those).
std::unique_ptr<CausalModel> describe_model(const std::filesystem::path& folder);

}  // namespace masbak::models

// Adapter folders in the format of PEFT: adapter_config.json and adapter_model.safetensors.
//
// Fused experts lie in the file as PEFT (from 0.19.1) keeps them: A [E·r, in] with row e·r + k, B [out, r·E] with
// column k·E + e. Folders of PEFT 0.17 to 0.19.0, which swapped in and out there, are read too.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "adapters/adapter.h"

namespace masbak::adapters {

// Writes the folder durably: it appears whole or not at all. `model_places` is places(model), of which the plan
// is a choice; the targets are written so that PEFT on transformers 5 finds the same ones. `base_model` goes to
// base_model_name_or_path. ALREADY_EXISTS if `folder` holds something.
void write_adapter(const Adapter& adapter, const std::vector<PlanPlace>& model_places, const std::string& base_model,
                   const std::filesystem::path& folder);

// Only the two files, into a folder that is there: for a caller that makes the folder durable itself.
void write_adapter_files(const Adapter& adapter, const std::vector<PlanPlace>& model_places,
                         const std::string& base_model, const std::filesystem::path& folder);

// Reads a folder for a model with these places; factors in float32. NOT_FOUND if a file is missing;
// INVALID_ARGUMENT, with the names, for one tensor too many or too few or a wrong shape; DATA_LOSS for numbers
// that are not finite; UNIMPLEMENTED for a feature of PEFT's that would change the function.
Adapter read_adapter(const std::filesystem::path& folder, const std::vector<PlanPlace>& model_places);

// Reads the folder and puts it on the model for use (not training): the factors are kept in the model's type.
void apply_adapter(models::CausalModel& model, const std::filesystem::path& folder);

// "sha256:…" over the two files, as base::digest_folder would give it if nothing else lay there.
std::string adapter_digest(const std::filesystem::path& folder);

}  // namespace masbak::adapters

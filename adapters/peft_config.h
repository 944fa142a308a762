// adapter_config.json: what PEFT calls a LoraConfig.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "adapters/plan.h"

namespace masbak::adapters {

// The text of adapter_config.json (keys sorted, indent 2).
std::string peft_config_text(const Plan& plan, const std::vector<PlanPlace>& model_places,
                             const std::string& base_model);

struct PeftConfig {
  Plan plan;  // what the configuration targets in the model
  // Written by PEFT 0.17.0 to 0.19.0: fused experts may lie with in and out swapped.
  bool maybe_swapped = false;
  // The file holds a LoRA for each linear of each expert, and the names are to be read so.
  bool single_experts = false;
};

// Resolves a folder's adapter_config.json against a model's places, as PEFT does: a name that matches nothing is
// allowed beside one that does. Errors as read_adapter.
PeftConfig read_peft_config(const std::filesystem::path& folder, const std::vector<PlanPlace>& model_places,
                            bool single_experts = false);

}  // namespace masbak::adapters

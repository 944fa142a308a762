// What a run trains: the plan and the adapter that it starts from.
#pragma once

#include <memory>
#include <vector>

#include "adapters/adapter.h"
#include "models/families/causal_model.h"
#include "trainer/run_config.h"

namespace masbak::trainer {

// A new adapter by the run's plan and seed; with adapter.path that folder's numbers, targets, rank and alpha. Then
// whatever else the run file names must say the same: FAILED_PRECONDITION otherwise.
adapters::Adapter starting_adapter(const RunConfig& run, const std::vector<adapters::PlanPlace>& places);

// The plan alone.
adapters::Plan run_plan(const RunConfig& run, const std::vector<adapters::PlanPlace>& places);

// The base model in the run's dtype.
std::unique_ptr<models::CausalModel> load_base_model(const RunConfig& run);
// The same without its weights, for the plan.
std::unique_ptr<models::CausalModel> describe_base_model(const RunConfig& run);

}  // namespace masbak::trainer

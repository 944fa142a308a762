// What every service of the control plane shares.
#pragma once

#include <filesystem>

#include "registry/artifacts/artifact_store.h"
#include "registry/store/store.h"
#include "services/control/changes.h"
#include "services/control/live_tasks.h"
#include "services/middleware/boundary.h"

namespace masbak::services {

// Outlives the services. State is in the store alone; the rest can be lost at any time.
struct ControlContext {
  registry::Store& store;
  registry::ArtifactStore& artifacts;
  Boundary& boundary;
  Changes& changes;
  LiveTasks& live_tasks;
  std::filesystem::path worker;   // masbak-worker
  std::filesystem::path scratch;  // for run files that a check needs
};

}  // namespace masbak::services

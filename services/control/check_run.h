// Checks before anything is queued or stored, with the worker's own eyes.
#pragma once

#include "masbak/v1/dataset.pb.h"
#include "registry/types/job.h"
#include "services/control/context.h"

namespace masbak::services {

// Lays the job's run file out as a task would and lets `masbak-worker validate` judge it: a misspelt key, a bad
// row or a target that matches nothing comes out as the worker's error, before a node is taken.
void check_run(const ControlContext& context, const registry::Job& job, const registry::BaseModel& base);

}  // namespace masbak::services

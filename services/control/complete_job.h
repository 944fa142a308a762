// What a job that succeeded leaves in the registry: a version, or reports.
#pragma once

#include <map>
#include <string>

#include "services/control/context.h"

namespace masbak::services {

// In one transaction: the version or the reports, and the job SUCCEEDED. A job whose outputs cannot be read
// becomes FAILED with the reason. Does nothing if the job has ended already.
void complete_job(ControlContext& context, const std::string& job, const std::map<std::string, std::string>& outputs);

}  // namespace masbak::services

// What should run on a node, from what is stored.
#pragma once

#include <vector>

#include "masbak/v1/node.pb.h"
#include "registry/store/reader.h"

namespace masbak::services {

// The running jobs and open revisions of a node as tasks, those to be ended with `stop`.
std::vector<v1::Task> tasks_of(const registry::Reader& reader, const std::string& node);

// The events of one task's report, parsed. INVALID_ARGUMENT for a line that is no event.
std::vector<registry::JobEvent> events_of(const v1::TaskStatus& status);

}  // namespace masbak::services

// A version before its gate: the stored reports and the rules as policies/gates wants them, and its verdict as
// the registry keeps it. Pure.
#pragma once

#include <string>
#include <vector>

#include "registry/types/evaluation.h"
#include "registry/types/model.h"

namespace masbak::services {

// `own` and `base`: the latest reports, newest first. INVALID_ARGUMENT, located in "gates.yaml", for bad rules.
registry::GateReport judge(const registry::Version& version, const std::string& rules_yaml,
                           const std::vector<registry::Report>& own, const std::vector<registry::Report>& base);

}  // namespace masbak::services

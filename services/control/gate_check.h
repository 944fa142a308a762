// The one rule that guards promotion and deployment.
#pragma once

#include <string>

#include "registry/types/model.h"

namespace masbak::services {

// FAILED_PRECONDITION unless the version's latest gate passed; the message names the rule and by how much.
// `doing`: "promote", "deploy".
void require_passed_gate(const registry::Version& version, const std::string& doing);

}  // namespace masbak::services

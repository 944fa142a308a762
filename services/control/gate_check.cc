#include "services/control/gate_check.h"

#include "base/error.h"

namespace masbak::services {

void require_passed_gate(const registry::Version& version, const std::string& doing) {
  if (version.gate_state == "passed") return;
  std::string start = "cannot " + doing + " " + version.name + ": ";
  if (version.gate_state == "failed") {
    throw base::Error(base::Code::kFailedPrecondition,
                      start + "its gate failed: " + version.gate_summary +
                          "; train it further, or change the rules, and run the gate again");
  }
  throw base::Error(base::Code::kFailedPrecondition,
                    start + "no gate was run for it: evaluate it and run the gate first");
}

}  // namespace masbak::services

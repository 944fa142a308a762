#include "registry/types/audit.h"

namespace masbak::registry {

std::string audit_text(const AuditRecord& record) {
  std::string text;
  const auto line = [&](const std::string& part) { text += std::to_string(part.size()) + " " + part + "\n"; };
  line(std::to_string(record.number));
  line(std::to_string(record.time.time_since_epoch().count()));
  line(record.actor);
  line(record.action);
  line(record.resource);
  line(record.detail_json);
  line(record.previous_digest);
  return text;
}

}  // namespace masbak::registry

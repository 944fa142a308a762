// Who did what, when, to which digests.
#pragma once

#include <cstdint>
#include <string>

#include "registry/types/time.h"

namespace masbak::registry {

// `digest` is SHA-256 over the lines of audit_text(record), which hold `previous_digest`: a chain. The first
// record's `previous_digest` is empty.
struct AuditRecord {
  int64_t number = 0;  // from 1, without gaps
  Time time{};
  std::string actor;
  std::string action;  // "version.promote"
  std::string resource;
  std::string detail_json;
  std::string digest;
  std::string previous_digest;
};

// What is hashed: one line each for number, time in microseconds, actor, action, resource, detail and previous
// digest, each with its length in bytes before it, so that no two records have the same text.
std::string audit_text(const AuditRecord& record);

struct AuditVerdict {
  int64_t records = 0;
  bool intact = true;
  std::string problem;  // the first broken record: its number and what is wrong
};

}  // namespace masbak::registry

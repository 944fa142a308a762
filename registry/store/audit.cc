// The audit log, read and checked.
#include "base/digest.h"
#include "registry/store/session.h"
#include "registry/store/writer.h"

namespace masbak::registry {
namespace {

AuditRecord parse_record(const pqxx::row& row) {
  return {.number = whole(row, "number"),
          .time = instant(row, "time_micros"),
          .actor = text(row, "actor"),
          .action = text(row, "action"),
          .resource = text(row, "resource"),
          .detail_json = text(row, "detail"),
          .digest = text(row, "digest"),
          .previous_digest = text(row, "previous_digest")};
}

// What is wrong with the record that follows `before`; empty if nothing.
std::string problem_of(const AuditRecord& record, const AuditRecord& before) {
  const std::string name = "record " + std::to_string(record.number);
  if (record.number != before.number + 1) {
    return "record " + std::to_string(before.number + 1) + " is missing";
  }
  if (record.previous_digest != before.digest) return name + " does not follow the record before it";
  if (base::digest_bytes(audit_text(record)) != record.digest) return name + " was altered";
  return "";
}

}  // namespace

Page<AuditRecord> Reader::list_audit(const std::string& resource, const PageRequest& page) const {
  if (resource.empty()) {
    return read_page<AuditRecord>(session(), "audit", page, "SELECT * FROM audit WHERE {page}", "number", parse_record);
  }
  return read_page<AuditRecord>(session(), "audit of " + resource, page,
                                "SELECT * FROM audit WHERE {page} AND resource = $3", "number", parse_record, resource);
}

AuditVerdict Reader::verify_audit() const {
  AuditVerdict verdict;
  AuditRecord last;
  const auto broken = [&](const std::string& problem) {
    verdict.intact = false;
    verdict.problem = problem;
    return verdict;
  };
  constexpr int kPiece = 5000;
  for (;;) {
    const pqxx::result rows =
        session().exec("SELECT * FROM audit WHERE number > $1 ORDER BY number LIMIT $2", last.number, kPiece);
    for (const pqxx::row& row : rows) {
      AuditRecord record = parse_record(row);
      if (const std::string problem = problem_of(record, last); !problem.empty()) return broken(problem);
      ++verdict.records;
      last = std::move(record);
    }
    if (rows.size() < kPiece) break;
  }
  const pqxx::result head = session().exec("SELECT number, digest FROM audit_head");
  if (head.empty()) return broken("the head of the chain is missing");
  if (whole(head[0], "number") != last.number || text(head[0], "digest") != last.digest) {
    return broken("the chain ends at record " + std::to_string(last.number) + ", its head is at record " +
                  std::to_string(whole(head[0], "number")) + ": the end was cut off or altered");
  }
  return verdict;
}

void Writer::audit(const std::string& action, const std::string& resource, const std::string& detail_json) {
  base::parse_json(detail_json, "detail_json");
  session().record_text(action, resource, detail_json);
}

}  // namespace masbak::registry

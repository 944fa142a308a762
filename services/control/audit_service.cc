#include "services/control/audit_service.h"

#include "services/control/wire.h"

namespace masbak::services {

grpc::Status AuditService::ListAuditRecords(grpc::ServerContext* context, const v1::ListAuditRecordsRequest* request,
                                            v1::ListAuditRecordsResponse* response) {
  return context_.boundary.run(context, "AuditService.ListAuditRecords", [&](const Call&) {
    auto page = context_.store.read(
        [&](const registry::Reader& reader) { return reader.list_audit(request->resource(), page_of(*request)); });
    fill_page(page, response, [](auto* list) { return list->add_records(); });
  });
}

grpc::Status AuditService::VerifyAudit(grpc::ServerContext* context, const v1::VerifyAuditRequest*,
                                       v1::VerifyAuditResponse* response) {
  return context_.boundary.run(context, "AuditService.VerifyAudit", [&](const Call&) {
    auto verdict = context_.store.read([](const registry::Reader& reader) { return reader.verify_audit(); });
    response->set_records(verdict.records);
    response->set_intact(verdict.intact);
    response->set_problem(verdict.problem);
  });
}

}  // namespace masbak::services

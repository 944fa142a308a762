#pragma once

#include "masbak/v1/audit.grpc.pb.h"
#include "services/control/context.h"

namespace masbak::services {

class AuditService final : public v1::AuditService::Service {
 public:
  explicit AuditService(ControlContext& context) : context_(context) {}

  grpc::Status ListAuditRecords(grpc::ServerContext* context, const v1::ListAuditRecordsRequest* request,
                                v1::ListAuditRecordsResponse* response) override;
  grpc::Status VerifyAudit(grpc::ServerContext* context, const v1::VerifyAuditRequest* request,
                           v1::VerifyAuditResponse* response) override;

 private:
  ControlContext& context_;
};

}  // namespace masbak::services

#pragma once

#include "masbak/v1/evaluation.grpc.pb.h"
#include "services/control/context.h"

namespace masbak::services {

class EvaluationService final : public v1::EvaluationService::Service {
 public:
  explicit EvaluationService(ControlContext& context) : context_(context) {}

  grpc::Status CreateEvaluationJob(grpc::ServerContext* context, const v1::CreateEvaluationJobRequest* request,
                                   v1::Job* response) override;
  grpc::Status ListReports(grpc::ServerContext* context, const v1::ListReportsRequest* request,
                           v1::ListReportsResponse* response) override;
  grpc::Status RunGate(grpc::ServerContext* context, const v1::RunGateRequest* request,
                       v1::GateReport* response) override;
  grpc::Status GetGateReport(grpc::ServerContext* context, const v1::GetGateReportRequest* request,
                             v1::GateReport* response) override;

 private:
  ControlContext& context_;
};

}  // namespace masbak::services

#pragma once

#include "masbak/v1/deployment.grpc.pb.h"
#include "services/control/context.h"

namespace masbak::services {

class DeploymentService final : public v1::DeploymentService::Service {
 public:
  explicit DeploymentService(ControlContext& context) : context_(context) {}

  grpc::Status CreateDeployment(grpc::ServerContext* context, const v1::CreateDeploymentRequest* request,
                                v1::Deployment* response) override;
  grpc::Status GetDeployment(grpc::ServerContext* context, const v1::GetDeploymentRequest* request,
                             v1::Deployment* response) override;
  grpc::Status ListDeployments(grpc::ServerContext* context, const v1::ListDeploymentsRequest* request,
                               v1::ListDeploymentsResponse* response) override;
  grpc::Status RollbackDeployment(grpc::ServerContext* context, const v1::RollbackDeploymentRequest* request,
                                  v1::Deployment* response) override;
  grpc::Status DeleteDeployment(grpc::ServerContext* context, const v1::DeleteDeploymentRequest* request,
                                v1::DeleteDeploymentResponse* response) override;
  grpc::Status Ask(grpc::ServerContext* context, const v1::AskRequest* request,
                   grpc::ServerWriter<v1::AskResponse>* writer) override;

 private:
  ControlContext& context_;
};

}  // namespace masbak::services

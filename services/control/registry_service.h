#pragma once

#include "masbak/v1/registry.grpc.pb.h"
#include "services/control/context.h"

namespace masbak::services {

class RegistryService final : public v1::RegistryService::Service {
 public:
  explicit RegistryService(ControlContext& context) : context_(context) {}

  grpc::Status CreateBaseModel(grpc::ServerContext* context, const v1::CreateBaseModelRequest* request,
                               v1::BaseModel* response) override;
  grpc::Status GetBaseModel(grpc::ServerContext* context, const v1::GetBaseModelRequest* request,
                            v1::BaseModel* response) override;
  grpc::Status ListBaseModels(grpc::ServerContext* context, const v1::ListBaseModelsRequest* request,
                              v1::ListBaseModelsResponse* response) override;
  grpc::Status ListModels(grpc::ServerContext* context, const v1::ListModelsRequest* request,
                          v1::ListModelsResponse* response) override;
  grpc::Status GetVersion(grpc::ServerContext* context, const v1::GetVersionRequest* request,
                          v1::Version* response) override;
  grpc::Status ListVersions(grpc::ServerContext* context, const v1::ListVersionsRequest* request,
                            v1::ListVersionsResponse* response) override;
  grpc::Status VerifyVersion(grpc::ServerContext* context, const v1::VerifyVersionRequest* request,
                             v1::VerifyVersionResponse* response) override;
  grpc::Status ApproveVersion(grpc::ServerContext* context, const v1::ApproveVersionRequest* request,
                              v1::Version* response) override;
  grpc::Status PromoteVersion(grpc::ServerContext* context, const v1::PromoteVersionRequest* request,
                              v1::Version* response) override;

 private:
  ControlContext& context_;
};

}  // namespace masbak::services

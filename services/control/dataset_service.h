#pragma once

#include "masbak/v1/dataset.grpc.pb.h"
#include "services/control/context.h"

namespace masbak::services {

class DatasetService final : public v1::DatasetService::Service {
 public:
  explicit DatasetService(ControlContext& context) : context_(context) {}

  grpc::Status CreateDataset(grpc::ServerContext* context, grpc::ServerReader<v1::CreateDatasetRequest>* reader,
                             v1::Dataset* response) override;
  grpc::Status GetDataset(grpc::ServerContext* context, const v1::GetDatasetRequest* request,
                          v1::Dataset* response) override;
  grpc::Status ListDatasets(grpc::ServerContext* context, const v1::ListDatasetsRequest* request,
                            v1::ListDatasetsResponse* response) override;
  grpc::Status ScanDataset(grpc::ServerContext* context, const v1::ScanDatasetRequest* request,
                           v1::ScanDatasetResponse* response) override;
  grpc::Status DeleteDataset(grpc::ServerContext* context, const v1::DeleteDatasetRequest* request,
                             v1::DeleteDatasetResponse* response) override;

 private:
  ControlContext& context_;
};

}  // namespace masbak::services

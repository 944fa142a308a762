#pragma once

#include "masbak/v1/training.grpc.pb.h"
#include "services/control/context.h"

namespace masbak::services {

class TrainingService final : public v1::TrainingService::Service {
 public:
  explicit TrainingService(ControlContext& context) : context_(context) {}

  grpc::Status CreateTrainingJob(grpc::ServerContext* context, const v1::CreateTrainingJobRequest* request,
                                 v1::Job* response) override;
  grpc::Status GetJob(grpc::ServerContext* context, const v1::GetJobRequest* request, v1::Job* response) override;
  grpc::Status ListJobs(grpc::ServerContext* context, const v1::ListJobsRequest* request,
                        v1::ListJobsResponse* response) override;
  grpc::Status CancelJob(grpc::ServerContext* context, const v1::CancelJobRequest* request, v1::Job* response) override;
  grpc::Status WatchJob(grpc::ServerContext* context, const v1::WatchJobRequest* request,
                        grpc::ServerWriter<v1::JobEvent>* writer) override;
  grpc::Status GetJobLog(grpc::ServerContext* context, const v1::GetJobLogRequest* request,
                         v1::GetJobLogResponse* response) override;

 private:
  ControlContext& context_;
};

}  // namespace masbak::services

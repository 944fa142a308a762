#pragma once

#include "masbak/v1/node.grpc.pb.h"
#include "services/control/context.h"

namespace masbak::services {

class NodeService final : public v1::NodeService::Service {
 public:
  explicit NodeService(ControlContext& context) : context_(context) {}

  grpc::Status ListNodes(grpc::ServerContext* context, const v1::ListNodesRequest* request,
                         v1::ListNodesResponse* response) override;
  grpc::Status DrainNode(grpc::ServerContext* context, const v1::DrainNodeRequest* request,
                         v1::Node* response) override;
  grpc::Status ResumeNode(grpc::ServerContext* context, const v1::ResumeNodeRequest* request,
                          v1::Node* response) override;
  grpc::Status Sync(grpc::ServerContext* context, const v1::SyncRequest* request, v1::SyncResponse* response) override;
  grpc::Status DownloadArtifact(grpc::ServerContext* context, const v1::DownloadArtifactRequest* request,
                                grpc::ServerWriter<v1::ArtifactChunk>* writer) override;
  grpc::Status UploadArtifact(grpc::ServerContext* context, grpc::ServerReader<v1::ArtifactChunk>* reader,
                              v1::UploadArtifactResponse* response) override;

 private:
  void set_draining(const Call& call, const std::string& name, bool draining, v1::Node* response);

  ControlContext& context_;
};

}  // namespace masbak::services

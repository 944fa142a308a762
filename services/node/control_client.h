// An agent's line to the control plane. Every call that can wait is tried again for ever while the control
// plane cannot be reached: a task neither fails nor stops because of it.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "masbak/v1/node.grpc.pb.h"

namespace masbak::services {

// Thread-safe.
class ControlClient {
 public:
  // Does not connect yet.
  ControlClient(const std::string& address, const std::string& token);

  // One attempt, at most 5 s. Throws what the control plane answered.
  v1::SyncResponse sync(const v1::SyncRequest& request);

  // Asked before each new attempt and now and then within one: false ends it with CANCELLED.
  using KeepGoing = std::function<bool()>;
  // Stores the file's bytes as an artifact; returns its digest. Nothing is sent if it is there already.
  std::string upload(const std::filesystem::path& file, const KeepGoing& keep_going);
  // Appears whole under `file`, with the right bytes. DATA_LOSS if other bytes came.
  void download(const std::string& digest, const std::filesystem::path& file, const KeepGoing& keep_going);

 private:
  void authorize(grpc::ClientContext& context) const;
  void retry(const std::string& doing, const KeepGoing& keep_going, const std::function<grpc::Status()>& attempt);
  grpc::Status upload_once(const std::filesystem::path& file, const std::string& digest);
  grpc::Status download_once(const std::string& digest, const std::filesystem::path& file);

  std::string address_, token_;
  std::unique_ptr<v1::NodeService::Stub> stub_;
};

}  // namespace masbak::services

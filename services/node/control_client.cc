#include "services/node/control_client.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <thread>
#include <vector>

#include "base/digest.h"
#include "base/durable_file.h"
#include "base/error.h"
#include "base/log.h"
#include "services/middleware/status.h"

namespace masbak::services {
namespace {

constexpr size_t kChunkBytes = 1 << 20;

grpc::ChannelArguments channel_arguments() {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(64 << 20);
  arguments.SetMaxSendMessageSize(64 << 20);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 3000);
  return arguments;
}

// What may be over the next time (AIP-194 names UNAVAILABLE; the others are a call that was cut).
bool worth_another_try(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNAVAILABLE ||
         status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED ||
         status.error_code() == grpc::StatusCode::CANCELLED;
}

void wait_while(const std::function<bool()>& keep_going, std::chrono::milliseconds time) {
  auto until = std::chrono::steady_clock::now() + time;
  while (keep_going() && std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

}  // namespace

ControlClient::ControlClient(const std::string& address, const std::string& token) : address_(address), token_(token) {
  auto channel = grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), channel_arguments());
  stub_ = v1::NodeService::NewStub(channel);
}

void ControlClient::authorize(grpc::ClientContext& context) const {
  if (!token_.empty()) context.AddMetadata("authorization", "Bearer " + token_);
}

v1::SyncResponse ControlClient::sync(const v1::SyncRequest& request) {
  grpc::ClientContext context;
  authorize(context);
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
  v1::SyncResponse response;
  auto status = stub_->Sync(&context, request, &response);
  if (!status.ok()) throw from_status(status, "reaching the control plane at " + address_);
  return response;
}

void ControlClient::retry(const std::string& doing, const KeepGoing& keep_going,
                          const std::function<grpc::Status()>& attempt) {
  std::chrono::milliseconds pause(250);
  while (true) {
    if (!keep_going()) throw base::Error(base::Code::kCancelled, doing + " was given up: the task was stopped");
    grpc::Status status = attempt();
    if (status.ok()) return;
    if (!worth_another_try(status)) throw from_status(status, doing);
    base::log_warn(doing + ": " + status.error_message() + "; another try follows");
    wait_while(keep_going, pause);
    pause = std::min(pause * 2, std::chrono::milliseconds(5000));
  }
}

std::string ControlClient::upload(const std::filesystem::path& file, const KeepGoing& keep_going) {
  std::string digest = base::digest_file(file);
  retry("uploading " + file.filename().string(), keep_going, [&] { return upload_once(file, digest); });
  return digest;
}

grpc::Status ControlClient::upload_once(const std::filesystem::path& file, const std::string& digest) {
  grpc::ClientContext context;
  authorize(context);
  v1::UploadArtifactResponse response;
  auto writer = stub_->UploadArtifact(&context, &response);
  v1::ArtifactChunk chunk;
  chunk.set_digest(digest);
  std::ifstream in(file, std::ios::binary);
  std::vector<char> buffer(kChunkBytes);
  bool open = writer->Write(chunk);
  chunk.clear_digest();
  while (open && in.good()) {
    in.read(buffer.data(), buffer.size());
    if (in.gcount() == 0) break;
    chunk.set_data(buffer.data(), in.gcount());
    open = writer->Write(chunk);  // false: the control plane has answered early, or is gone
  }
  writer->WritesDone();
  return writer->Finish();
}

void ControlClient::download(const std::string& digest, const std::filesystem::path& file,
                             const KeepGoing& keep_going) {
  retry("downloading " + digest, keep_going, [&] { return download_once(digest, file); });
}

grpc::Status ControlClient::download_once(const std::string& digest, const std::filesystem::path& file) {
  grpc::ClientContext context;
  authorize(context);
  v1::DownloadArtifactRequest request;
  request.set_digest(digest);
  auto reader = stub_->DownloadArtifact(&context, request);
  base::DurableWriter writer(file);
  base::Sha256 hash;
  v1::ArtifactChunk chunk;
  while (reader->Read(&chunk)) {
    hash.update(chunk.data());
    writer.write(chunk.data());
  }
  grpc::Status status = reader->Finish();
  if (!status.ok()) return status;
  std::string found = hash.finish();
  if (found != digest) {
    throw base::Error(base::Code::kDataLoss, "expected the bytes of artifact " + digest + ", got bytes of " + found +
                                                 ": check the artifact folder of the control plane");
  }
  writer.commit();
  return status;
}

}  // namespace masbak::services

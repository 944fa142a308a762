#include "programs/cli/client.h"

#include <grpcpp/generic/generic_stub.h>

#include <cstdlib>
#include <random>

#include "base/durable_file.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace masbak::cli {
namespace {

namespace fs = std::filesystem;
using base::Code;
using base::Error;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string read_word(const fs::path& file) {
  std::string text = base::read_file(file);
  text.erase(text.find_last_not_of(" \n\r\t") + 1);
  return text;
}

// Where the fault was, as the services say it (google.rpc.ErrorInfo).
base::Where where_of(const grpc::Status& status) {
  base::Where where;
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) return where;
  for (const auto& detail : details.details()) {
    google::rpc::ErrorInfo info;
    if (!detail.UnpackTo(&info)) continue;
    const auto& metadata = info.metadata();
    if (const auto found = metadata.find("file"); found != metadata.end()) where.file = found->second;
    if (const auto found = metadata.find("line"); found != metadata.end())
      where.line = std::atoi(found->second.c_str());
    if (const auto found = metadata.find("field"); found != metadata.end()) where.field = found->second;
  }
  return where;
}

std::string how_to_start(const fs::path& data) {
  if (data.empty()) return "check MASBAK_ENDPOINT, or start an installation with: masbak up";
  return "start the installation with: masbak up" +
         (data == default_data_folder() ? std::string() : " --data " + data.string());
}

}  // namespace

fs::path default_data_folder() {
  if (const std::string named = environment("MASBAK_DATA"); !named.empty()) return fs::absolute(named);
  const std::string home = environment("HOME");
  if (home.empty())
    base::fail_input("expected MASBAK_DATA or HOME in the environment, found neither: set one, or give --data");
  return fs::path(home) / ".local/share/masbak";
}

Address find_address(const fs::path& data) {
  Address address;
  address.endpoint = environment("MASBAK_ENDPOINT");
  address.token = environment("MASBAK_TOKEN");
  if (address.endpoint.empty()) {
    address.data = data;
    if (!fs::exists(data / "endpoint")) {
      throw Error(Code::kUnavailable, "no Masbak runs in this data folder: " + how_to_start(data),
                  {.file = data.string()});
    }
    address.endpoint = read_word(data / "endpoint");
  }
  if (address.token.empty() && fs::exists(data / "token")) address.token = read_word(data / "token");
  return address;
}

std::string new_request_id() {
  std::random_device random;
  std::string id;
  for (int i = 0; i < 4; ++i) {
    char part[9];
    std::snprintf(part, sizeof part, "%08x", random());
    id += part;
  }
  return id;
}

Client::Client(const Address& address) : address_(address) {
  grpc::ChannelArguments arguments;
  // The control plane is in the house: a proxy for the internet is not on the way.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetMaxReceiveMessageSize(256 << 20);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  channel_ = grpc::CreateCustomChannel(address.endpoint, grpc::InsecureChannelCredentials(), arguments);
}

void Client::prepare(grpc::ClientContext& context) const {
  if (!address_.token.empty()) context.AddMetadata("authorization", "Bearer " + address_.token);
}

void Client::fail(const grpc::Status& status) const {
  const auto code = static_cast<Code>(status.error_code());
  const base::Where where = where_of(status);
  if (code == Code::kUnavailable && status.error_details().empty()) {
    throw Error(code, "no Masbak answers at " + address_.endpoint + ": " + how_to_start(address_.data));
  }
  if (code == Code::kDeadlineExceeded && status.error_details().empty()) {
    throw Error(code,
                "the control plane at " + address_.endpoint + " did not answer in time: look at its log, then repeat");
  }
  if (code == Code::kUnauthenticated) {
    throw Error(code, status.error_message() + " (set MASBAK_TOKEN, or name the installation with --data)", where);
  }
  throw Error(code, status.error_message(), where);
}

bool Client::healthy(std::chrono::milliseconds limit) const {
  grpc::GenericStub stub(channel_);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + limit);
  grpc::CompletionQueue queue;
  // An empty HealthCheckRequest asks about the whole server; it has no bytes.
  const grpc::Slice nothing("");
  const grpc::ByteBuffer request(&nothing, 1);
  const auto reader = stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check", request, &queue);
  reader->StartCall();
  grpc::ByteBuffer response;
  grpc::Status status;
  reader->Finish(&response, &status, &response);
  void* tag = nullptr;
  bool arrived = false;
  queue.Next(&tag, &arrived);
  if (!status.ok()) return false;
  grpc::Slice bytes;
  // HealthCheckResponse{status: SERVING}: field 1, a varint, of value 1.
  return response.DumpToSingleSlice(&bytes).ok() && bytes.size() == 2 && bytes.begin()[0] == 0x08 &&
         bytes.begin()[1] == 0x01;
}

}  // namespace masbak::cli

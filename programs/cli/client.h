// The connection to a control plane: address, token, calls, and errors as base::Error.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "base/error.h"

namespace masbak::cli {

struct Address {
  std::string endpoint;  // "127.0.0.1:7443"
  std::string token;
  std::filesystem::path data;  // the installation's folder; empty if MASBAK_ENDPOINT named the control plane
};

// ${MASBAK_DATA}, else ~/.local/share/masbak. INVALID_ARGUMENT if neither it nor HOME is set.
std::filesystem::path default_data_folder();

// MASBAK_ENDPOINT and MASBAK_TOKEN, else what the control plane wrote into `data`. UNAVAILABLE, with what to do, if
// there is nothing.
Address find_address(const std::filesystem::path& data);

// A fresh request_id: a retried call has one effect.
std::string new_request_id();

constexpr std::chrono::seconds kShort{60};
constexpr std::chrono::seconds kLong{3600};  // calls that hash or scan large files

// Thread-safe.
class Client {
 public:
  explicit Client(const Address& address);

  // A unary call: client.call(&v1::TrainingService::Stub::GetJob, request). UNAVAILABLE is tried again twice.
  template <typename Stub, typename Request, typename Response>
  Response call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*), const Request& request,
                std::chrono::seconds limit = kShort) const {
    Stub stub(channel_);
    for (int attempt = 0;; ++attempt) {
      grpc::ClientContext context;
      prepare(context);
      context.set_deadline(std::chrono::system_clock::now() + limit);
      Response response;
      const grpc::Status status = (stub.*method)(&context, request, &response);
      if (status.ok()) return response;
      if (status.error_code() != grpc::StatusCode::UNAVAILABLE || attempt == 2) fail(status);
      std::this_thread::sleep_for(std::chrono::milliseconds(200 << attempt));
    }
  }

  // Every page of a list, merged into one response.
  template <typename Stub, typename Request, typename Response>
  Response call_all(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*), Request request,
                    int most = 0) const {
    Response all;
    request.set_page_size(most > 0 && most < 200 ? most : 200);
    for (int pages = 0;; ++pages) {
      Response page = call(method, request);
      const std::string next = page.next_page_token();
      all.MergeFrom(page);
      all.clear_next_page_token();
      if (next.empty() || (most > 0 && (pages + 1) * request.page_size() >= most)) return all;
      request.set_page_token(next);
    }
  }

  // For streams: adds the token.
  void prepare(grpc::ClientContext& context) const;
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  const Address& address() const { return address_; }

  // Throws what a status says; it must not be OK.
  [[noreturn]] void fail(const grpc::Status& status) const;

  // What grpc.health.v1 says of the whole server: true if SERVING; false if it does not answer in time.
  bool healthy(std::chrono::milliseconds limit) const;

 private:
  Address address_;
  std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace masbak::cli

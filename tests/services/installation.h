// A whole installation in a temporary folder for tests: the real programs, a private PostgreSQL, a fake worker.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/process.h"
#include "masbak/v1/dataset.grpc.pb.h"
#include "masbak/v1/deployment.grpc.pb.h"
#include "masbak/v1/evaluation.grpc.pb.h"
#include "masbak/v1/node.grpc.pb.h"
#include "masbak/v1/registry.grpc.pb.h"
#include "masbak/v1/training.grpc.pb.h"
#include "services/middleware/status.h"

namespace masbak::services::testing {

class Installation {
 public:
  Installation();   // starts nothing
  ~Installation();  // ends everything, removes the folder

  void start_control();  // waits until it serves
  void stop_control();   // SIGTERM
  void kill_control();   // SIGKILL
  void start_node(const std::map<std::string, std::string>& environment = {});
  void stop_node();
  void kill_node();

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path base_model() const { return folder_ / "base-model"; }
  std::filesystem::path task_folder(const std::string& id) const;
  std::string endpoint() const;
  std::string token() const;

  // A request's answer; a failure comes out as base::Error.
  template <typename Stub, typename Request, typename Response>
  Response call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*), const Request& request) {
    grpc::ClientContext context;
    authorize(context);
    Response response;
    Stub stub(channel_);
    grpc::Status status = (stub.*method)(&context, request, &response);
    if (!status.ok()) throw from_status(status, "call");
    return response;
  }
  // The error of a request that must fail.
  template <typename Stub, typename Request, typename Response>
  base::Error failure(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                      const Request& request) {
    try {
      call(method, request);
    } catch (const base::Error& error) {
      return error;
    }
    ADD_FAILURE() << "expected a failure";
    return {base::Code::kUnknown, "no failure"};
  }
  void authorize(grpc::ClientContext& context) const;
  std::shared_ptr<grpc::Channel> channel() const { return channel_; }

  // Shorthands for what most tests need first.
  v1::Dataset upload(const std::string& id, const std::string& bytes, const std::string& request_id = "");
  v1::BaseModel register_base(const std::string& id);
  v1::Job submit(const std::string& model, int steps);
  v1::Job job(const std::string& name);
  v1::Job wait_for_end(const std::string& name);
  v1::Job evaluate(const std::string& version);
  v1::GateReport run_gate(const std::string& version, double minimum);
  v1::Deployment wait_for_deployment(const std::string& name, v1::DeploymentState state, const std::string& version);
  std::string ask(const std::string& deployment, const std::string& question, bool base);

 private:
  std::filesystem::path folder_;
  std::optional<base::Process> control_, node_;
  std::shared_ptr<grpc::Channel> channel_;
};

// Polls until true; fails the test after a generous time (two busy cores).
bool eventually(const std::string& what, const std::function<bool()>& condition, int seconds = 60);

std::filesystem::path program(const std::string& name);  // in the build's bin folder
std::filesystem::path fake_worker();

}  // namespace masbak::services::testing

#include "tests/services/installation.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <signal.h>
#include <stdlib.h>

#include <algorithm>
#include <thread>

#include "base/durable_file.h"

namespace masbak::services::testing {
namespace {

std::string from_environment(const char* name) {
  const char* value = getenv(name);
  if (value == nullptr) throw std::runtime_error(std::string(name) + " is not set: run the tests through ctest");
  return value;
}

std::string trimmed_file(const std::filesystem::path& file) {
  std::string text = base::read_file(file);
  return text.substr(0, text.find('\n'));
}

}  // namespace

bool eventually(const std::string& what, const std::function<bool()>& condition, int seconds) {
  auto until = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (std::chrono::steady_clock::now() < until) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  ADD_FAILURE() << "did not happen in time: " << what;
  return false;
}

std::filesystem::path program(const std::string& name) {
  return std::filesystem::path(from_environment("MASBAK_BIN")) / name;
}

std::filesystem::path fake_worker() {
  return std::filesystem::path(from_environment("MASBAK_SOURCE")) / "tests/services/fake_worker.py";
}

Installation::Installation() {
  std::string name = std::filesystem::temp_directory_path() / "masbak-test-XXXXXX";
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make a temporary folder");
  folder_ = name;
  // PostgreSQL does not run as root: its own user must be able to come in.
  std::filesystem::permissions(folder_, std::filesystem::perms(0755));
  std::filesystem::create_directory(base_model());
  base::write_file_durably(base_model() / "config.json", "{}");
}

Installation::~Installation() {
  stop_node();
  stop_control();
  if (::testing::Test::HasFailure()) {
    for (const char* log : {"control.log", "node.log"}) {
      if (std::filesystem::exists(folder_ / log)) {
        fprintf(stderr, "---- %s\n%s\n", log, base::read_file(folder_ / log).c_str());
      }
    }
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void Installation::start_control() {
  // After a restart at the same address, so that agents and clients find it again.
  std::string listen = std::filesystem::exists(folder_ / "control/endpoint") ? endpoint() : "127.0.0.1:0";
  std::filesystem::remove(folder_ / "control/endpoint");
  base::ProcessOptions options;
  options.argv = {
      program("masbak-controld"), "--data", folder_ / "control", "--listen", listen, "--worker", fake_worker()};
  options.stdout_file = options.stderr_file = folder_ / "control.log";
  control_ = base::Process::start(options);
  ASSERT_TRUE(eventually("the control plane serves", [&] {
    EXPECT_FALSE(control_->poll()) << base::read_file(folder_ / "control.log");
    return std::filesystem::exists(folder_ / "control/endpoint");
  }));
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  channel_ = grpc::CreateCustomChannel(endpoint(), grpc::InsecureChannelCredentials(), arguments);
}

void Installation::stop_control() {
  if (control_) control_->stop(std::chrono::seconds(60));
  control_.reset();
}

void Installation::kill_control() {
  kill(control_->pid(), SIGKILL);
  control_->wait();
  control_.reset();
}

void Installation::start_node(const std::map<std::string, std::string>& environment) {
  base::ProcessOptions options;
  options.argv = {program("masbak-noded"),
                  "--control",
                  endpoint(),
                  "--data",
                  folder_ / "node",
                  "--token-file",
                  folder_ / "control/token",
                  "--worker",
                  fake_worker(),
                  "--grace-ms",
                  "3000"};
  options.env = environment;
  options.stdout_file = options.stderr_file = folder_ / "node.log";
  node_ = base::Process::start(options);
}

void Installation::stop_node() {
  if (node_) node_->stop(std::chrono::seconds(60));
  node_.reset();
}

void Installation::kill_node() {
  kill(node_->pid(), SIGKILL);
  node_->wait();
  node_.reset();
}

std::filesystem::path Installation::task_folder(const std::string& id) const {
  std::string name = id;
  std::replace(name.begin(), name.end(), '/', '_');
  return folder_ / "node/tasks" / name;
}

std::string Installation::endpoint() const { return trimmed_file(folder_ / "control/endpoint"); }
std::string Installation::token() const { return trimmed_file(folder_ / "control/token"); }

void Installation::authorize(grpc::ClientContext& context) const {
  context.AddMetadata("authorization", "Bearer " + token());
  context.set_wait_for_ready(true);
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
}

v1::Dataset Installation::upload(const std::string& id, const std::string& bytes, const std::string& request_id) {
  grpc::ClientContext context;
  authorize(context);
  v1::Dataset dataset;
  v1::DatasetService::Stub stub(channel_);
  auto writer = stub.CreateDataset(&context, &dataset);
  v1::CreateDatasetRequest part;
  part.mutable_header()->set_dataset_id(id);
  part.mutable_header()->set_request_id(request_id);
  part.mutable_header()->set_file_name(id + ".jsonl");
  writer->Write(part);
  part.set_chunk(bytes);
  writer->Write(part);
  writer->WritesDone();
  grpc::Status status = writer->Finish();
  if (!status.ok()) throw from_status(status, "upload");
  return dataset;
}

v1::BaseModel Installation::register_base(const std::string& id) {
  v1::CreateBaseModelRequest request;
  request.set_base_model_id(id);
  request.set_path(base_model());
  return call(&v1::RegistryService::Stub::CreateBaseModel, request);
}

v1::Job Installation::submit(const std::string& model, int steps) {
  v1::CreateTrainingJobRequest request;
  request.set_model(model);
  request.set_base_model("baseModels/demo");
  request.set_dataset("datasets/facts");
  request.set_run_yaml("training:\n  max_steps: " + std::to_string(steps) + "\n");
  return call(&v1::TrainingService::Stub::CreateTrainingJob, request);
}

v1::Job Installation::job(const std::string& name) {
  v1::GetJobRequest request;
  request.set_name(name);
  return call(&v1::TrainingService::Stub::GetJob, request);
}

v1::Job Installation::wait_for_end(const std::string& name) {
  v1::Job found;
  eventually(name + " ends", [&] {
    found = job(name);
    return found.state() >= v1::JOB_STATE_SUCCEEDED;
  });
  return found;
}

v1::Job Installation::evaluate(const std::string& version) {
  v1::CreateEvaluationJobRequest request;
  request.set_version(version);
  request.set_suite_yaml("name: questions\nkind: contains\nquestions: somewhere/else.jsonl\nmax_tokens: 8\n");
  request.set_suite_file_name("questions.jsonl");
  request.set_suite_data("{\"question\": \"How hot?\", \"key\": \"538\"}\n");
  return call(&v1::EvaluationService::Stub::CreateEvaluationJob, request);
}

v1::GateReport Installation::run_gate(const std::string& version, double minimum) {
  v1::RunGateRequest request;
  request.set_version(version);
  request.set_rules_yaml(
      "rules:\n  - name: held-out\n    suite: questions\n    metric: accuracy\n"
      "    direction: higher\n    minimum: " +
      std::to_string(minimum) + "\n");
  return call(&v1::EvaluationService::Stub::RunGate, request);
}

v1::Deployment Installation::wait_for_deployment(const std::string& name, v1::DeploymentState state,
                                                 const std::string& version) {
  v1::Deployment found;
  eventually(name + " is in state " + v1::DeploymentState_Name(state), [&] {
    v1::GetDeploymentRequest request;
    request.set_name(name);
    found = call(&v1::DeploymentService::Stub::GetDeployment, request);
    return found.state() == state && found.version() == version;
  });
  return found;
}

std::string Installation::ask(const std::string& deployment, const std::string& question, bool base) {
  grpc::ClientContext context;
  authorize(context);
  v1::AskRequest request;
  request.set_deployment(deployment);
  request.set_question(question);
  request.set_base(base);
  v1::DeploymentService::Stub stub(channel_);
  auto reader = stub.Ask(&context, request);
  v1::AskResponse piece;
  std::string text, reason;
  while (reader->Read(&piece)) {
    text += piece.text();
    reason = piece.finish_reason();
  }
  grpc::Status status = reader->Finish();
  if (!status.ok()) throw from_status(status, "ask");
  EXPECT_EQ(reason, "stop");
  return text;
}

}  // namespace masbak::services::testing

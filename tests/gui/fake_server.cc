#include "tests/gui/fake_server.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "masbak/v1/dataset.grpc.pb.h"
#include "masbak/v1/deployment.grpc.pb.h"
#include "masbak/v1/evaluation.grpc.pb.h"
#include "masbak/v1/node.grpc.pb.h"
#include "masbak/v1/registry.grpc.pb.h"
#include "masbak/v1/training.grpc.pb.h"

namespace masbak::gui {

using namespace masbak::v1;
using grpc::ServerContext;
using grpc::Status;
using grpc::StatusCode;

namespace {

Status not_found(const std::string& name) { return {StatusCode::NOT_FOUND, "there is no " + name}; }

bool has_ended(JobState state) {
  return state == JOB_STATE_SUCCEEDED || state == JOB_STATE_FAILED || state == JOB_STATE_CANCELLED;
}

template <typename Resource>
Resource* find(std::vector<Resource>& all, const std::string& name) {
  for (auto& one : all) {
    if (one.name() == name) return &one;
  }
  return nullptr;
}

template <typename Resource>
void add_all(const std::vector<Resource>& from, google::protobuf::RepeatedPtrField<Resource>* to) {
  to->Add(from.begin(), from.end());
}

// Each handler begins with this: the data are its own until it ends, and the call is counted.
class Handler {
 public:
  Handler(FakeData& data, const char* method) : lock_(data.mutex) { ++data.calls[method]; }

 private:
  std::lock_guard<std::mutex> lock_;
};

class FakeTraining : public TrainingService::Service {
 public:
  explicit FakeTraining(FakeData& data) : data_(data) {}
  std::atomic<bool> closing{false};

  Status CreateTrainingJob(ServerContext*, const CreateTrainingJobRequest* request, Job* response) override {
    Handler handler(data_, "CreateTrainingJob");
    if (!data_.refusal.empty()) return {StatusCode::FAILED_PRECONDITION, data_.refusal};
    Job job;
    job.set_name("jobs/" + std::to_string(data_.jobs.size() + 1));
    job.set_kind(JOB_KIND_TRAIN);
    job.set_state(JOB_STATE_QUEUED);
    job.set_model(request->model());
    job.set_base_model(request->base_model());
    job.set_dataset(request->dataset());
    job.set_run_yaml(request->run_yaml());
    data_.jobs.insert(data_.jobs.begin(), job);
    *response = job;
    return Status::OK;
  }
  Status ListJobs(ServerContext*, const ListJobsRequest*, ListJobsResponse* response) override {
    Handler handler(data_, "ListJobs");
    add_all(data_.jobs, response->mutable_jobs());
    return Status::OK;
  }
  Status CancelJob(ServerContext*, const CancelJobRequest* request, Job* response) override {
    Handler handler(data_, "CancelJob");
    if (!data_.refusal.empty()) return {StatusCode::FAILED_PRECONDITION, data_.refusal};
    Job* job = data_.job(request->name());
    if (job == nullptr) return not_found(request->name());
    if (has_ended(job->state())) return {StatusCode::FAILED_PRECONDITION, "the job has ended"};
    job->set_state(JOB_STATE_CANCELLED);
    *response = *job;
    data_.changed.notify_all();
    return Status::OK;
  }
  Status GetJobLog(ServerContext*, const GetJobLogRequest* request, GetJobLogResponse* response) override {
    Handler handler(data_, "GetJobLog");
    if (data_.job(request->name()) == nullptr) return not_found(request->name());
    response->set_text("loaded the base model\n");
    return Status::OK;
  }
  // As the control plane does: the events, then the state, with the seq of the last event.
  Status WatchJob(ServerContext* context, const WatchJobRequest* request,
                  grpc::ServerWriter<JobEvent>* writer) override {
    std::unique_lock lock(data_.mutex);
    ++data_.calls["WatchJob"];
    auto seq = static_cast<size_t>(request->after_seq());
    while (!closing && !context->IsCancelled()) {
      const Job* job = data_.job(request->name());
      if (job == nullptr) return not_found(request->name());
      const auto& events = data_.events[job->name()];
      for (; seq < events.size(); ++seq) writer->Write(events[seq]);
      if (has_ended(job->state())) {
        JobEvent state;
        state.set_seq(static_cast<int64_t>(seq));
        state.set_type("state");
        *state.mutable_job() = *job;
        writer->Write(state);
        return Status::OK;
      }
      data_.changed.wait_for(lock, std::chrono::milliseconds(20));
    }
    return Status::CANCELLED;
  }

 private:
  FakeData& data_;
};

class FakeRegistry : public RegistryService::Service {
 public:
  explicit FakeRegistry(FakeData& data) : data_(data) {}
  Status ListVersions(ServerContext*, const ListVersionsRequest*, ListVersionsResponse* response) override {
    Handler handler(data_, "ListVersions");
    add_all(data_.versions, response->mutable_versions());
    return Status::OK;
  }
  Status ListBaseModels(ServerContext*, const ListBaseModelsRequest*, ListBaseModelsResponse* response) override {
    Handler handler(data_, "ListBaseModels");
    add_all(data_.base_models, response->mutable_base_models());
    return Status::OK;
  }
  Status PromoteVersion(ServerContext*, const PromoteVersionRequest* request, Version* response) override {
    Handler handler(data_, "PromoteVersion");
    if (!data_.refusal.empty()) return {StatusCode::FAILED_PRECONDITION, data_.refusal};
    Version* version = find(data_.versions, request->name());
    if (version == nullptr) return not_found(request->name());
    if (version->gate_state() != "passed") return {StatusCode::FAILED_PRECONDITION, "its gate did not pass"};
    for (auto& other : data_.versions) other.clear_aliases();
    version->add_aliases(request->alias());
    *response = *version;
    return Status::OK;
  }

 private:
  FakeData& data_;
};

class FakeEvaluation : public EvaluationService::Service {
 public:
  explicit FakeEvaluation(FakeData& data) : data_(data) {}
  Status GetGateReport(ServerContext*, const GetGateReportRequest* request, GateReport* response) override {
    Handler handler(data_, "GetGateReport");
    const auto found = data_.gates.find(request->version());
    if (found == data_.gates.end()) return not_found("gate report of " + request->version());
    *response = found->second;
    return Status::OK;
  }

 private:
  FakeData& data_;
};

class FakeDeployments : public DeploymentService::Service {
 public:
  explicit FakeDeployments(FakeData& data) : data_(data) {}
  Status ListDeployments(ServerContext*, const ListDeploymentsRequest*, ListDeploymentsResponse* response) override {
    Handler handler(data_, "ListDeployments");
    add_all(data_.deployments, response->mutable_deployments());
    return Status::OK;
  }
  Status RollbackDeployment(ServerContext*, const RollbackDeploymentRequest* request, Deployment* response) override {
    Handler handler(data_, "RollbackDeployment");
    if (!data_.refusal.empty()) return {StatusCode::FAILED_PRECONDITION, data_.refusal};
    Deployment* deployment = find(data_.deployments, request->name());
    if (deployment == nullptr) return not_found(request->name());
    deployment->set_version(deployment->previous_version());
    deployment->clear_previous_version();
    *response = *deployment;
    return Status::OK;
  }
  Status Ask(ServerContext*, const AskRequest* request, grpc::ServerWriter<AskResponse>* writer) override {
    {
      Handler handler(data_, "Ask");
      if (find(data_.deployments, request->deployment()) == nullptr) return not_found(request->deployment());
    }
    const bool arabic = request->question().find("\xD9") != std::string::npos;
    std::string answer = request->base() ? "Relief valves are used to control or limit the pressure in a system. The "
                                           "pressure at which a valve opens depends on the system it protects."
                                         : "PSV-118 on the naphtha splitter lifts at 14.7 barg.";
    if (arabic && !request->base()) answer = "يفتح الصمام PSV-118 على فاصل النافثا عند 14.7 بار.";
    AskResponse piece;
    for (size_t at = 0; at < answer.size();) {
      const size_t space = answer.find(' ', at + 1);
      piece.set_text(answer.substr(at, space - at));
      if (!writer->Write(piece)) return Status::CANCELLED;
      at = space == std::string::npos ? answer.size() : space;
    }
    piece.clear_text();
    piece.set_finish_reason("stop");
    writer->Write(piece);
    return Status::OK;
  }

 private:
  FakeData& data_;
};

class FakeNodes : public NodeService::Service {
 public:
  explicit FakeNodes(FakeData& data) : data_(data) {}
  Status ListNodes(ServerContext*, const ListNodesRequest*, ListNodesResponse* response) override {
    Handler handler(data_, "ListNodes");
    add_all(data_.nodes, response->mutable_nodes());
    return Status::OK;
  }
  Status DrainNode(ServerContext*, const DrainNodeRequest* request, Node* response) override {
    return set_state(request->name(), NODE_STATE_DRAINING, response);
  }
  Status ResumeNode(ServerContext*, const ResumeNodeRequest* request, Node* response) override {
    return set_state(request->name(), NODE_STATE_READY, response);
  }

 private:
  Status set_state(const std::string& name, NodeState state, Node* response) {
    Handler handler(data_, "DrainNode");
    if (!data_.refusal.empty()) return {StatusCode::FAILED_PRECONDITION, data_.refusal};
    Node* node = find(data_.nodes, name);
    if (node == nullptr) return not_found(name);
    node->set_state(state);
    *response = *node;
    return Status::OK;
  }
  FakeData& data_;
};

class FakeDatasets : public DatasetService::Service {
 public:
  explicit FakeDatasets(FakeData& data) : data_(data) {}
  Status ListDatasets(ServerContext*, const ListDatasetsRequest*, ListDatasetsResponse* response) override {
    Handler handler(data_, "ListDatasets");
    add_all(data_.datasets, response->mutable_datasets());
    return Status::OK;
  }

 private:
  FakeData& data_;
};

}  // namespace

struct FakeServer::Services {
  explicit Services(FakeData& data)
      : training(data), registry(data), evaluation(data), deployments(data), nodes(data), datasets(data) {}
  FakeTraining training;
  FakeRegistry registry;
  FakeEvaluation evaluation;
  FakeDeployments deployments;
  FakeNodes nodes;
  FakeDatasets datasets;
};

FakeServer::FakeServer() { start(); }
FakeServer::~FakeServer() { kill(); }

std::string FakeServer::endpoint() const { return "127.0.0.1:" + std::to_string(port_); }

void FakeServer::start() {
  services_ = std::make_unique<Services>(data_);
  grpc::ServerBuilder builder;
  builder.AddListeningPort(endpoint(), grpc::InsecureServerCredentials(), &port_);
  for (grpc::Service* service :
       std::initializer_list<grpc::Service*>{&services_->training, &services_->registry, &services_->evaluation,
                                             &services_->deployments, &services_->nodes, &services_->datasets}) {
    builder.RegisterService(service);
  }
  server_ = builder.BuildAndStart();
  if (!server_) throw std::runtime_error("no server on " + endpoint());
}

void FakeServer::kill() {
  if (!server_) return;
  services_->training.closing = true;
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  server_.reset();
}

}  // namespace masbak::gui

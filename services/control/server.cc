#include "services/control/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <optional>

#include "base/durable_file.h"
#include "base/error.h"
#include "base/log.h"
#include "registry/server/postgres_server.h"
#include "services/control/audit_service.h"
#include "services/control/dataset_service.h"
#include "services/control/deployment_service.h"
#include "services/control/evaluation_service.h"
#include "services/control/installation.h"
#include "services/control/node_service.h"
#include "services/control/registry_service.h"
#include "services/control/scheduler_loop.h"
#include "services/control/training_service.h"

namespace masbak::services {
namespace {

constexpr int kMessageBytes = 64 << 20;  // a suite's data, or reports with all their items

std::filesystem::path made_folder(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  return folder;
}

std::filesystem::path emptied_folder(const std::filesystem::path& folder) {
  std::filesystem::remove_all(folder);
  return made_folder(folder);
}

// Before anything is made or started: a wrong address leaves no trace.
std::filesystem::path checked_data_folder(const ControlOptions& options) {
  require_free_port(parse_listen(options.listen));
  return made_folder(options.data);
}

std::optional<registry::PostgresServer> start_database(const ControlOptions& options) {
  if (!options.database.empty()) return std::nullopt;
  return registry::PostgresServer::start({.data = options.data});
}

}  // namespace

// Members are destroyed in reverse: server, scheduler, …, database, lock.
struct ControlServer::State {
  explicit State(const ControlOptions& options)
      : lock(checked_data_folder(options) / "control.lock"),
        database(start_database(options)),
        store({.url = database ? database->url() : options.database}),
        artifacts(options.data / "artifacts"),
        boundary(store),
        context{
            store, artifacts, boundary, changes, live_tasks, options.worker, emptied_folder(options.data / "scratch")},
        scheduler(context) {}

  FolderLock lock;
  std::optional<registry::PostgresServer> database;
  registry::Store store;
  registry::ArtifactStore artifacts;
  Boundary boundary;
  Changes changes;
  LiveTasks live_tasks;
  ControlContext context;
  SchedulerLoop scheduler;
  DatasetService datasets{context};
  RegistryService registry_service{context};
  TrainingService training{context};
  EvaluationService evaluation{context};
  DeploymentService deployments{context};
  NodeService nodes{context};
  AuditService audit{context};
  std::unique_ptr<grpc::Server> server;
  int port = 0;
};

ControlServer::ControlServer(const ControlOptions& options) : state_(std::make_unique<State>(options)) {
  ensure_admin_token(options.data / "token", state_->store);
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  // Two servers on one port would each get some of the calls; the second must fail instead.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.SetMaxReceiveMessageSize(kMessageBytes);
  builder.SetMaxSendMessageSize(kMessageBytes);
  builder.AddListeningPort(options.listen, grpc::InsecureServerCredentials(), &state_->port);
  for (grpc::Service* service : std::initializer_list<grpc::Service*>{
           &state_->datasets, &state_->registry_service, &state_->training, &state_->evaluation, &state_->deployments,
           &state_->nodes, &state_->audit}) {
    builder.RegisterService(service);
  }
  state_->server = builder.BuildAndStart();
  if (!state_->server || state_->port == 0) {
    throw base::Error(base::Code::kAlreadyExists, "cannot listen on " + options.listen +
                                                      ": stop what listens there, or choose another with --listen");
  }
  std::string endpoint = parse_listen(options.listen).host + ":" + std::to_string(state_->port);
  base::write_file_durably(options.data / "endpoint", endpoint + "\n");
  base::log_info("serving on " + endpoint);
}

ControlServer::~ControlServer() {
  if (state_->server) state_->server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(2));
}

int ControlServer::port() const { return state_->port; }

bool ControlServer::healthy() const { return !state_->database || state_->database->running(); }

}  // namespace masbak::services

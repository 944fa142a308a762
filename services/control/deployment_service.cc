#include "services/control/deployment_service.h"

#include "base/error.h"
#include "services/control/gate_check.h"
#include "services/control/openai_client.h"
#include "services/control/wire.h"
#include "services/middleware/once.h"

namespace masbak::services {
namespace {

registry::DeployRequest deploy_request(const registry::Reader& reader, const v1::CreateDeploymentRequest& request) {
  registry::Version version = reader.get_version(request.version());
  require_passed_gate(version, "deploy");
  registry::DeployRequest deploy;
  deploy.name = registry::make_name("deployments", request.deployment_id());
  deploy.version = version.name;
  if (!request.node().empty()) {
    registry::Node node = reader.get_node(request.node());
    if (node.state != registry::NodeState::kReady) {
      throw base::Error(base::Code::kFailedPrecondition, "expected a READY node, " + node.name + " is " +
                                                             std::string(registry::node_state_name(node.state)));
    }
    deploy.node = node.name;
  }
  if (request.port() < 0 || request.port() > 65535) {
    base::fail_input("expected a port from 1 to 65535, or 0 for any, found " + std::to_string(request.port()),
                     {.field = "port"});
  }
  deploy.port = request.port();
  deploy.served_model_name = registry::id_of("models", version.model);
  deploy.base_model_name = registry::id_of("baseModels", version.base_model);
  return deploy;
}

// What answers now.
registry::Revision answering_revision(const registry::Deployment& deployment) {
  if (deployment.active && deployment.active->state == registry::RevisionState::kReady) return *deployment.active;
  std::string reason = deployment.target.error.empty() ? "" : ": " + deployment.target.error;
  throw base::Error(base::Code::kFailedPrecondition,
                    deployment.name + " is " + std::string(registry::revision_state_name(deployment.target.state)) +
                        ", not READY" + reason);
}

}  // namespace

grpc::Status DeploymentService::CreateDeployment(grpc::ServerContext* context,
                                                 const v1::CreateDeploymentRequest* request, v1::Deployment* response) {
  return context_.boundary.run(context, "DeploymentService.CreateDeployment", [&](const Call& call) {
    *response = change_once<v1::Deployment>(context_.store, call, *request, [&](registry::Writer& writer) {
      // The gate that is looked at still counts when the deployment is written.
      writer.lock_model(registry::parse_version_name(request->version(), "version").model);
      return to_wire(writer.deploy(deploy_request(writer, *request)));
    });
    context_.changes.announce();
  });
}

grpc::Status DeploymentService::GetDeployment(grpc::ServerContext* context, const v1::GetDeploymentRequest* request,
                                              v1::Deployment* response) {
  return context_.boundary.run(context, "DeploymentService.GetDeployment", [&](const Call&) {
    *response = to_wire(
        context_.store.read([&](const registry::Reader& reader) { return reader.get_deployment(request->name()); }));
  });
}

grpc::Status DeploymentService::ListDeployments(grpc::ServerContext* context, const v1::ListDeploymentsRequest* request,
                                                v1::ListDeploymentsResponse* response) {
  return context_.boundary.run(context, "DeploymentService.ListDeployments", [&](const Call&) {
    auto page =
        context_.store.read([&](const registry::Reader& reader) { return reader.list_deployments(page_of(*request)); });
    fill_page(page, response, [](auto* list) { return list->add_deployments(); });
  });
}

grpc::Status DeploymentService::RollbackDeployment(grpc::ServerContext* context,
                                                   const v1::RollbackDeploymentRequest* request,
                                                   v1::Deployment* response) {
  return context_.boundary.run(context, "DeploymentService.RollbackDeployment", [&](const Call& call) {
    *response = change_once<v1::Deployment>(context_.store, call, *request, [&](registry::Writer& writer) {
      return to_wire(writer.rollback_deployment(request->name()));
    });
    context_.changes.announce();
  });
}

grpc::Status DeploymentService::DeleteDeployment(grpc::ServerContext* context,
                                                 const v1::DeleteDeploymentRequest* request,
                                                 v1::DeleteDeploymentResponse* response) {
  return context_.boundary.run(context, "DeploymentService.DeleteDeployment", [&](const Call& call) {
    *response =
        change_once<v1::DeleteDeploymentResponse>(context_.store, call, *request, [&](registry::Writer& writer) {
          writer.delete_deployment(request->name(), request->etag());
          return v1::DeleteDeploymentResponse();
        });
    context_.changes.announce();
  });
}

grpc::Status DeploymentService::Ask(grpc::ServerContext* context, const v1::AskRequest* request,
                                    grpc::ServerWriter<v1::AskResponse>* writer) {
  return context_.boundary.run(context, "DeploymentService.Ask", [&](const Call&) {
    auto deployment = context_.store.read(
        [&](const registry::Reader& reader) { return reader.get_deployment(request->deployment()); });
    registry::Revision revision = answering_revision(deployment);
    ChatQuestion question;
    question.endpoint = revision.endpoint;
    question.model = request->base() ? revision.base_model_name : revision.served_model_name;
    question.text = request->question();
    question.max_tokens = request->max_tokens() > 0 ? request->max_tokens() : 256;
    question.temperature = request->temperature();
    ask_openai(question, [&](const std::string& text, const std::string& finish_reason) {
      v1::AskResponse piece;
      piece.set_text(text);
      piece.set_finish_reason(finish_reason);
      return writer->Write(piece) && !context->IsCancelled();
    });
  });
}

}  // namespace masbak::services

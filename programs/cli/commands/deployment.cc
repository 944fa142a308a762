// deploy, deployment list|show|rollback|remove
#include <iostream>

#include "masbak/v1/deployment.grpc.pb.h"
#include "programs/cli/cli.h"
#include "programs/cli/names.h"
#include "programs/cli/output.h"
#include "programs/cli/watch.h"

namespace masbak::cli {
namespace {

using Service = v1::DeploymentService;

struct Options {
  std::string name, version, node;
  int port = 0;
  bool no_wait = false, validate_only = false;
  int64_t limit_s = 900;
};

void print(const v1::Deployment& deployment) {
  print_fields({{"name", deployment.name()},
                {"state", deployment_state(deployment)},
                {"error", deployment.error()},
                {"version", short_version(deployment.version())},
                {"previous version", short_version(deployment.previous_version())},
                {"endpoint", deployment.endpoint()},
                {"model name", deployment.served_model_name()},
                {"base model name", deployment.base_model_name()},
                {"node", deployment.node()},
                {"created", local_time(deployment.create_time())},
                {"updated", local_time(deployment.update_time())},
                {"by", deployment.creator()}});
}

// Waits, if that is wanted, and prints.
int finish(const Common& common, const Options& options, const Client& client, v1::Deployment deployment) {
  if (!options.no_wait && !options.validate_only) {
    deployment = wait_until_ready(client, deployment.name(), stderr, std::chrono::seconds(options.limit_s));
  }
  common.json ? print_json(deployment) : print(deployment);
  return 0;
}

int deploy(const Common& common, const Options& options) {
  v1::CreateDeploymentRequest request;
  request.set_version(version_name(options.version));
  request.set_deployment_id(options.name.empty() ? model_id(options.version)
                                                 : short_name(full_name("deployments", options.name)));
  if (!options.node.empty()) request.set_node(full_name("nodes", options.node));
  request.set_port(options.port);
  request.set_request_id(new_request_id());
  request.set_validate_only(options.validate_only);
  const Client client = common.connect();
  return finish(common, options, client, client.call(&Service::Stub::CreateDeployment, request));
}

int list(const Common& common) {
  const auto response = common.connect().call_all(&Service::Stub::ListDeployments, v1::ListDeploymentsRequest());
  if (common.json) {
    print_json(response);
    return 0;
  }
  Table table({"DEPLOYMENT", "STATE", "VERSION", "PREVIOUS", "NODE", "ENDPOINT", "ERROR"});
  for (const v1::Deployment& deployment : response.deployments()) {
    table.add({short_name(deployment.name()), deployment_state(deployment), short_version(deployment.version()),
               short_version(deployment.previous_version()), short_name(deployment.node()), deployment.endpoint(),
               deployment.error()});
  }
  table.print("No deployment yet. Make one: masbak deploy NAME@production");
  return 0;
}

int show(const Common& common, const Options& options) {
  v1::GetDeploymentRequest request;
  request.set_name(full_name("deployments", options.name));
  const v1::Deployment deployment = common.connect().call(&Service::Stub::GetDeployment, request);
  common.json ? print_json(deployment) : print(deployment);
  return 0;
}

int rollback(const Common& common, const Options& options) {
  v1::RollbackDeploymentRequest request;
  request.set_name(full_name("deployments", options.name));
  request.set_request_id(new_request_id());
  const Client client = common.connect();
  return finish(common, options, client, client.call(&Service::Stub::RollbackDeployment, request));
}

int remove(const Common& common, const Options& options) {
  v1::DeleteDeploymentRequest request;
  request.set_name(full_name("deployments", options.name));
  request.set_request_id(new_request_id());
  const auto response = common.connect().call(&Service::Stub::DeleteDeployment, request);
  if (common.json) {
    print_json(response);
  } else {
    std::cout << request.name() << " is being removed\n";
  }
  return 0;
}

void add_waiting(CLI::App* app, Options& options) {
  app->add_flag("--no-wait", options.no_wait, "return at once instead of when it is READY");
  app->add_option("--timeout", options.limit_s, "seconds to wait")->capture_default_str();
}

}  // namespace

void add_deployment_commands(Commands& commands) {
  const auto options = std::make_shared<Options>();
  CLI::App* app = commands.add(
      &commands.root(), "deploy", "Serve a version, or replace the one that a deployment serves",
      "masbak deploy pump-assistant@production", [options](const Common& common) { return deploy(common, *options); });
  app->add_option("VERSION", options->version, "NAME@3 or NAME@ALIAS")->required();
  app->add_option("--name", options->name, "name of the deployment; else the model's");
  app->add_option("--node", options->node, "where; else on any ready node");
  app->add_option("--port", options->port, "port of the model server; else any free one");
  app->add_flag("--validate-only", options->validate_only, "check everything, deploy nothing");
  add_waiting(app, *options);
  CLI::App* group = commands.group("deployment", "Versions that serve");
  commands.add(group, "list", "List the deployments", "masbak deployment list", list);
  app = commands.add(group, "show", "Show one deployment with its endpoint", "masbak deployment show pump-assistant",
                     [options](const Common& common) { return show(common, *options); });
  app->add_option("NAME", options->name)->required();
  app = commands.add(group, "rollback", "Back to the version before", "masbak deployment rollback pump-assistant",
                     [options](const Common& common) { return rollback(common, *options); });
  app->add_option("NAME", options->name)->required();
  add_waiting(app, *options);
  app = commands.add(group, "remove", "Stop serving", "masbak deployment remove pump-assistant",
                     [options](const Common& common) { return remove(common, *options); });
  app->add_option("NAME", options->name)->required();
}

}  // namespace masbak::cli

// node list|drain|resume
#include <iostream>

#include "masbak/v1/node.grpc.pb.h"
#include "programs/cli/cli.h"
#include "programs/cli/names.h"
#include "programs/cli/node_state.h"
#include "programs/cli/output.h"

namespace masbak::cli {
namespace {

using Service = v1::NodeService;

struct Options {
  std::string name;
};

int list(const Common& common) {
  const auto response = common.connect().call_all(&Service::Stub::ListNodes, v1::ListNodesRequest());
  if (common.json) {
    print_json(response);
    return 0;
  }
  Table table({"NODE", "STATE", "ADDRESS", "CORES", "MEMORY", "GPUS", "TASKS", "LAST SEEN"});
  for (const v1::Node& node : response.nodes()) {
    std::string gpus;
    for (const std::string& gpu : node.gpus()) gpus += (gpus.empty() ? "" : ", ") + gpu;
    table.add({short_name(node.name()), node_state(node), node.address(), std::to_string(node.cpu_cores()),
               bytes(node.memory_bytes()), gpus.empty() ? "none" : gpus, std::to_string(node.running_tasks()),
               local_time(node.last_sync_time())});
  }
  table.print(
      "No node yet. masbak up starts one; on another host: masbak-noded --control ADDRESS --data DIR --name NAME");
  return 0;
}

template <typename Request>
int change(const Common& common, const Options& options,
           grpc::Status (Service::Stub::*method)(grpc::ClientContext*, const Request&, v1::Node*)) {
  Request request;
  request.set_name(full_name("nodes", options.name));
  const v1::Node node = common.connect().call(method, request);
  if (common.json) {
    print_json(node);
  } else {
    std::cout << node.name() << " is " << node_state(node) << "\n";
  }
  return 0;
}

}  // namespace

void add_node_commands(Commands& commands) {
  CLI::App* group = commands.group("node", "Hosts with an agent");
  const auto options = std::make_shared<Options>();
  commands.add(group, "list", "List the nodes", "masbak node list", list);
  CLI::App* app =
      commands.add(group, "drain", "Place no new work there; what runs goes on", "masbak node drain gpu-1",
                   [options](const Common& common) { return change(common, *options, &Service::Stub::DrainNode); });
  app->add_option("NAME", options->name)->required();
  app = commands.add(group, "resume", "Place work there again", "masbak node resume gpu-1",
                     [options](const Common& common) { return change(common, *options, &Service::Stub::ResumeNode); });
  app->add_option("NAME", options->name)->required();
}

}  // namespace masbak::cli

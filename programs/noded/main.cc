// masbak-noded: the agent of a node. With `supervise` it is the parent of one worker instead (for itself only).
#include <CLI/CLI.hpp>

#include <algorithm>
#include <iostream>

#include "base/durable_file.h"
#include "base/error.h"
#include "base/log.h"
#include "base/process.h"
#include "base/program.h"
#include "services/launcher/supervisor.h"
#include "services/node/agent.h"

namespace masbak {
namespace {

struct Arguments {
  services::AgentOptions agent;
  std::filesystem::path token_file;
  services::Supervision supervision;
  int64_t grace_ms = 30000;
};

void describe(CLI::App& app, CLI::App& supervise, Arguments& arguments) {
  auto& agent = arguments.agent;
  agent.name = "local";
  agent.worker = base::executable_folder() / "masbak-worker";
  app.add_option("--control", agent.control, "address of the control plane, 127.0.0.1:7443");
  app.add_option("--data", agent.data, "folder for the tasks of this node");
  app.add_option("--name", agent.name, "name of this node")->capture_default_str();
  app.add_option("--token-file", arguments.token_file, "file with the token for the control plane");
  app.add_option("--worker", agent.worker, "the program masbak-worker");
  app.add_flag("--keep-workers", agent.keep_workers,
               "leave jobs and servers running when the agent is stopped, for the next one to take up");
  app.add_option("--grace-ms", arguments.grace_ms, "time between SIGTERM and SIGKILL for a worker")
      ->capture_default_str();
  auto& supervision = arguments.supervision;
  supervise.add_option("--directory", supervision.directory)->required();
  supervise.add_option("--name", supervision.name)->required();
  supervise.add_option("--log", supervision.log)->required();
  supervise.add_option("--grace-ms", arguments.grace_ms);
  supervise.add_option("worker", supervision.argv)->required();
  supervise.group("");  // not in --help: for the agent itself
}

int run_agent(Arguments& arguments) {
  auto& agent = arguments.agent;
  if (agent.control.empty() || agent.data.empty()) {
    base::fail_input("expected --control ADDRESS and --data FOLDER; see masbak-noded --help");
  }
  if (!arguments.token_file.empty()) {
    agent.token = base::read_file(arguments.token_file);
    std::erase_if(agent.token, [](unsigned char letter) { return std::isspace(letter) != 0; });
  }
  agent.data = std::filesystem::absolute(agent.data);
  agent.worker = std::filesystem::absolute(agent.worker);
  agent.supervisor = std::filesystem::read_symlink("/proc/self/exe");
  agent.grace = std::chrono::milliseconds(arguments.grace_ms);
  services::Agent(agent).run();
  return 0;
}

int run(int argc, char** argv) {
  base::start_logging("masbak-noded");
  base::install_stop_signals();
  CLI::App app{"Runs jobs and model servers on this machine for a Masbak control plane", "masbak-noded"};
  app.footer("Example: masbak-noded --control 127.0.0.1:7443 --data /var/lib/masbak/node --name local");
  CLI::App* supervise = app.add_subcommand("supervise");
  Arguments arguments;
  describe(app, *supervise, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    return app.exit(success);
  } catch (const CLI::ParseError& fault) {
    base::fail_input(std::string(fault.what()) + "; see masbak-noded --help");
  }
  if (supervise->parsed()) {
    arguments.supervision.grace = std::chrono::milliseconds(arguments.grace_ms);
    return services::supervise(arguments.supervision);
  }
  return run_agent(arguments);
}

}  // namespace
}  // namespace masbak

int main(int argc, char** argv) {
  return masbak::base::run_program("masbak-noded", [&] { return masbak::run(argc, argv); });
}

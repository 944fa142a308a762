// masbak: the command line of an installation, and a client of any control plane.
#include <iostream>

#include "base/error.h"
#include "base/program.h"
#include "programs/cli/cli.h"

namespace masbak::cli {

namespace {

int run(int argc, char** argv) {
  CLI::App app{"Masbak: fine-tune, govern and serve language models in the house", "masbak"};
  app.footer(
      "MASBAK_ENDPOINT and MASBAK_TOKEN point at another control plane.\n"
      "Example:\n  masbak up --detach && masbak status");
  app.require_subcommand(1);
  app.set_version_flag("--version", MASBAK_VERSION);
  Commands commands(app);
  for (const auto add : {add_installation_commands, add_doctor_command, add_dataset_commands, add_model_commands,
                         add_job_commands, add_version_commands, add_gate_commands, add_deployment_commands,
                         add_node_commands, add_ask_command, add_audit_commands, add_completion_command}) {
    add(commands);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    return app.exit(success);
  } catch (const CLI::ParseError& fault) {
    base::fail_input(std::string(fault.what()) + "; see masbak --help");
  }
  return commands.run();
}

}  // namespace
}  // namespace masbak::cli

int main(int argc, char** argv) {
  return masbak::base::run_program("masbak", [&] { return masbak::cli::run(argc, argv); });
}

// masbak: the command line of an installation, and a client of any control plane.
#include <iostream>

#include "base/error.h"
#include "base/program.h"
#include "programs/cli/cli.h"

namespace masbak::cli {

CLI::App* Commands::group(const std::string& name, const std::string& description) {
  CLI::App* app = root_.add_subcommand(name, description);
  app->require_subcommand(1);
  return app;
}

CLI::App* Commands::add(CLI::App* parent, const std::string& name, const std::string& description,
                        const std::string& example, std::function<int(const Common&)> run) {
  CLI::App* app = parent->add_subcommand(name, description);
  app->footer("Example:\n  " + example);
  app->add_flag("--json", common_.json, "print JSON (protobuf's mapping) for scripts")->group("Common");
  app->add_option("--data", common_.data, "the installation's folder; ${MASBAK_DATA:-~/.local/share/masbak}")
      ->group("Common");
  app->callback([this, run = std::move(run)] { chosen_ = run; });
  return app;
}

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

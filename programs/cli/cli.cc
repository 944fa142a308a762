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

}  // namespace masbak::cli

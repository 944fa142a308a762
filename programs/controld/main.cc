// masbak-controld: the control plane.
#include <CLI/CLI.hpp>

#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "base/process.h"
#include "base/program.h"
#include "services/control/server.h"

namespace masbak {
namespace {

int serve(services::ControlOptions options) {
  options.data = std::filesystem::absolute(options.data);
  options.worker = std::filesystem::absolute(options.worker);
  services::ControlServer server(options);
  while (!base::stop_requested()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    if (!server.healthy()) {
      throw base::Error(base::Code::kUnavailable,
                        "the private PostgreSQL has ended: see its log in the data folder, and start again",
                        {options.data.string()});
    }
  }
  base::log_info("stopping");
  return 0;
}

int run(int argc, char** argv) {
  base::start_logging("masbak-controld");
  base::install_stop_signals();
  CLI::App app{"The control plane of a Masbak installation", "masbak-controld"};
  app.footer("Example: masbak-controld --data /var/lib/masbak --listen 127.0.0.1:7443");
  services::ControlOptions options;
  options.listen = "127.0.0.1:7443";
  options.worker = base::executable_folder() / "masbak-worker";
  app.add_option("--data", options.data, "folder for everything that must survive a restart")->required();
  app.add_option("--listen", options.listen, "address and port; port 0: any free one")->capture_default_str();
  app.add_option("--database", options.database, "URL of a PostgreSQL server; without it a private one is started");
  app.add_option("--worker", options.worker, "the program masbak-worker");
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    return app.exit(success);
  } catch (const CLI::ParseError& fault) {
    base::fail_input(std::string(fault.what()) + "; see masbak-controld --help");
  }
  return serve(options);
}

}  // namespace
}  // namespace masbak

int main(int argc, char** argv) {
  return masbak::base::run_program("masbak-controld", [&] { return masbak::run(argc, argv); });
}

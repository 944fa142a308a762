// masbak-worker: train, serve, evaluate, convert. A complete tool without any service.
#include <iostream>

#include "base/error.h"
#include "base/log.h"
#include "base/program.h"
#include "programs/worker/commands.h"

namespace masbak::worker {
void add_quantize(CommandLine& line);
namespace {

int run(int argc, char** argv) {
  base::start_logging("masbak-worker");
  CLI::App app{"Train, serve, evaluate and convert MoE/MLA language models", "masbak-worker"};
  app.require_subcommand(1);
  std::function<int()> chosen;
  CommandLine line{app, chosen};
  // (calls of the add functions, alphabetical)
  add_adopt(line);
  add_check(line);
  add_merge(line);
  add_plan(line);
  add_train(line);
  add_estimate(line);
  add_evaluate(line);
  add_export(line);
  add_generate(line);
  add_logits(line);
  add_inspect(line);
  add_mask(line);
  add_scan(line);
  add_quantize(line);
  add_render(line);
  add_serve(line);
  add_tokenize(line);
  add_validate(line);
  (void)line;
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    return app.exit(success);  // --help
  } catch (const CLI::ParseError& fault) {
    base::fail_input(std::string(fault.what()) + "; see masbak-worker --help");
  }
  return chosen();
}

}  // namespace
}  // namespace masbak::worker

int main(int argc, char** argv) {
  return masbak::base::run_program("masbak-worker", [&] { return masbak::worker::run(argc, argv); });
}

// masbak-worker estimate RUN.yaml
#include "trainer/estimate/estimate.h"

#include <iostream>
#include <memory>

#include "programs/worker/commands.h"
#include "trainer/loop/tensor_pool.h"

namespace masbak::worker {

void add_estimate(CommandLine& line) {
  auto file = std::make_shared<std::string>();
  CLI::App* command = line.app.add_subcommand("estimate", "Tell a run's peak memory and time before it starts");
  command->footer("Example: masbak-worker estimate run.yaml");
  command->add_option("run", *file, "RUN.yaml")->required();
  command->callback([&chosen = line.chosen, file] {
    chosen = [file] {
      trainer::use_tensor_pool();
      std::cout << trainer::estimate(trainer::RunConfig::read(*file)).to_json().dump(2) << '\n';
      return 0;
    };
  });
}

}  // namespace masbak::worker

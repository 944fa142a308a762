// masbak-worker plan RUN.yaml
#include <iostream>
#include <memory>

#include "programs/worker/commands.h"
#include "trainer/loop/start.h"

namespace masbak::worker {

void add_plan(CommandLine& line) {
  auto file = std::make_shared<std::string>();
  CLI::App* command = line.app.add_subcommand("plan", "Name every tensor that a run will train, before it starts");
  command->add_option("run", *file, "RUN.yaml")->required();
  command->callback([&chosen = line.chosen, file] {
    chosen = [file] {
      const auto run = trainer::RunConfig::read(*file);
      const auto model = trainer::describe_base_model(run);
      std::cout << trainer::run_plan(run, adapters::places(*model)).to_json().dump(2) << '\n';
      return 0;
    };
  });
}

}  // namespace masbak::worker

// masbak-worker check ADAPTER --model MODEL
#include <iostream>
#include <memory>

#include "adapters/file.h"
#include "programs/worker/commands.h"

namespace masbak::worker {

void add_check(CommandLine& line) {
  struct Options {
    std::string adapter, model;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = line.app.add_subcommand("check", "Check that every tensor of an adapter finds its place");
  command->add_option("adapter", options->adapter, "adapter folder in PEFT's format")->required();
  command->add_option("--model", options->model, "model folder")->required();
  command->callback([&chosen = line.chosen, options] {
    chosen = [options] {
      const auto model = models::load_model(options->model);
      const adapters::Adapter adapter = adapters::read_adapter(options->adapter, adapters::places(*model));
      adapters::attach(*model, adapter);  // refuses what does not belong to this base
      base::Json result = adapter.plan.to_json();
      result["digest"] = adapters::adapter_digest(options->adapter);
      std::cout << result.dump(2) << '\n';
      return 0;
    };
  });
}

}  // namespace masbak::worker

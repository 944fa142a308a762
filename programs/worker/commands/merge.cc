// masbak-worker merge MODEL ADAPTER --out DIR
#include "adapters/merge.h"

#include <memory>

#include "programs/worker/commands.h"

namespace masbak::worker {

void add_merge(CommandLine& line) {
  struct Options {
    std::string model, adapter, out;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = line.app.add_subcommand("merge", "Write a model with an adapter merged in");
  command->add_option("model", options->model, "model folder")->required();
  command->add_option("adapter", options->adapter, "adapter folder in PEFT's format")->required();
  command->add_option("--out", options->out, "folder to write")->required();
  command->callback([&chosen = line.chosen, options] {
    chosen = [options] {
      adapters::merge_adapter(options->model, options->adapter, options->out);
      return 0;
    };
  });
}

}  // namespace masbak::worker

// masbak-worker merge MODEL ADAPTER --out DIR
#include "adapters/merge.h"

#include <memory>

#include "programs/worker/commands.h"

namespace masbak::worker {

void add_merge(CommandLine& line) {
  struct Options {
    std::string model, adapter, out;
    bool no_check = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = line.app.add_subcommand("merge", "Write a model with an adapter merged in");
  command->add_option("model", options->model, "model folder")->required();
  command->add_option("adapter", options->adapter, "adapter folder in PEFT's format")->required();
  command->add_option("--out", options->out, "folder to write")->required();
  command->add_flag("--no-check", options->no_check,
                    "Do not compare the merged model's logits with those of base and adapter afterwards");
  command->callback([&chosen = line.chosen, options] {
    chosen = [options] {
      adapters::merge_adapter(options->model, options->adapter, options->out, !options->no_check);
      return 0;
    };
  });
}

}  // namespace masbak::worker

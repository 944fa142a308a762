// masbak-worker train RUN.yaml --out JOB [--resume]
#include "trainer/loop/train.h"

#include <memory>

#include "base/program.h"
#include "models/families/place.h"
#include "programs/worker/commands.h"
#include "trainer/loop/tensor_pool.h"

namespace masbak::worker {
void add_train(CommandLine& line) {
  struct Options {
    std::string run, out;
    bool resume = false, ignore_estimate = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = line.app.add_subcommand("train", "Fine-tune a model into a job directory");
  command->add_option("run", options->run, "RUN.yaml")->required();
  command->add_option("--out", options->out, "the job directory: run.yaml, events.jsonl, checkpoints/, adapter/")
      ->required();
  command->add_flag("--resume", options->resume, "go on from the job's last checkpoint");
  command->add_flag("--ignore-memory-estimate", options->ignore_estimate,
                    "start even if the estimate says that memory will not do");
  command->callback([&chosen = line.chosen, options] {
    chosen = [options] {
      base::install_stop_signals();
      trainer::use_tensor_pool();
      const trainer::RunConfig run = trainer::RunConfig::read(options->run);
      models::require_device(run.training.device);
      trainer::train(run, options->out, options->resume, !options->ignore_estimate);
      return 0;
    };
  });
}

}  // namespace masbak::worker

// masbak-worker quantize: a model's weights stored small.
#include <iostream>
#include <memory>

#include "base/document.h"
#include "models/checkpoint/quantise.h"
#include "programs/worker/commands.h"

namespace masbak::worker {

void add_quantize(CommandLine& line) {
  CLI::App* command = line.app.add_subcommand("quantize", "Store a model's weights in 4 or 8 bits");
  auto options = std::make_shared<models::QuantiseOptions>();
  command->add_option("MODEL", options->model, "Hugging Face folder; FP8 weights may be the source")->required();
  command->add_option("--to", options->to, "nf4 or int8, in bitsandbytes' layout")->required();
  command->add_option("--out", options->folder, "the folder to write; must not exist, or be empty")->required();
  command->footer("Example: masbak-worker quantize models/demo --to nf4 --out models/demo-nf4");
  command->callback([&chosen = line.chosen, options] {
    chosen = [options] {
      const models::QuantiseResult result = models::quantise_model(*options);
      std::cout << base::Json{{"model", options->folder.string()},
                              {"family", result.family},
                              {"to", options->to},
                              {"quantised_tensors", result.quantised_tensors},
                              {"weights_bytes_before", result.weights_bytes_before},
                              {"weights_bytes", result.weights_bytes}}
                       .dump()
                << "\n";
      return 0;
    };
  });
}

}  // namespace masbak::worker

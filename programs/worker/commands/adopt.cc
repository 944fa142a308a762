// masbak-worker adopt: a dense GGUF model as a Hugging Face folder, as it is or with MLA and experts.
#include <iostream>
#include <memory>

#include "base/document.h"
#include "models/checkpoint/adopt/adopt.h"
#include "programs/worker/commands.h"

namespace masbak::worker {
namespace {

int adopt(models::AdoptOptions options, const std::string& dtype) {
  if (dtype != "bfloat16" && dtype != "float32") {
    base::fail_input("expected bfloat16 or float32, found \"" + dtype + "\"", {"", 0, "--dtype"});
  }
  options.dtype = dtype == "float32" ? models::Dtype::kF32 : models::Dtype::kBF16;
  const models::AdoptResult result = models::adopt(options);
  std::cout << base::Json{{"model", options.folder.string()},
                          {"family", result.family},
                          {"parameters", result.parameters},
                          {"weights_bytes", result.weights_bytes},
                          {"dtype", dtype}}
                   .dump()
            << "\n";
  return 0;
}

}  // namespace

void add_adopt(CommandLine& line) {
  CLI::App* command = line.app.add_subcommand("adopt", "Write a dense GGUF model as a Hugging Face folder");
  auto options = std::make_shared<models::AdoptOptions>();
  auto dtype = std::make_shared<std::string>("bfloat16");
  command->add_option("FILE.gguf", options->file, "the dense model, of the llama architecture")->required();
  command->add_option("--family", options->family, "llama: as it is; deepseek_v3: rewritten with MLA and experts")
      ->required();
  const std::vector<CLI::Option*> for_experts{
      command->add_option("--experts", options->experts.experts, "routed experts of a layer (default 4)"),
      command->add_option("--top-k", options->experts.top_k, "experts that serve one token (default 2)"),
      command->add_option("--shared", options->experts.shared,
                          "neurons in the shared experts (default: half of the feed-forward network)"),
      command->add_option("--seed", options->experts.seed, "for the routers' weights (default 0)")};
  command->add_option("--dtype", *dtype, "bfloat16 or float32")->capture_default_str();
  command->add_option("--out", options->folder, "the folder to write; must not exist, or be empty")->required();
  command->footer(
      "Example: masbak-worker adopt SmolLM2-135M-Instruct.Q4_1.gguf --family deepseek_v3 --experts 4 "
      "--top-k 2 --shared 768 --out models/demo");
  command->callback([&chosen = line.chosen, options, dtype, for_experts] {
    for (const CLI::Option* option : for_experts) {
      if (option->count() && options->family == "llama") {
        base::fail_input("a dense llama model has no experts; leave the option out, or use --family deepseek_v3",
                         {"", 0, option->get_name()});
      }
      if (option->count() && option->get_name() == "--shared" && options->experts.shared < 1) {
        base::fail_input("expected at least 1 neuron, found " + std::to_string(options->experts.shared),
                         {"", 0, "--shared"});
      }
    }
    chosen = [options, dtype] { return adopt(*options, *dtype); };
  });
}

}  // namespace masbak::worker

// masbak-worker export MODEL --to gguf --out FILE
#include <iostream>
#include <memory>

#include "base/document.h"
#include "models/export/export_gguf.h"
#include "programs/worker/commands.h"

namespace masbak::worker {

void add_export(CommandLine& line) {
  CLI::App* command = line.app.add_subcommand("export", "Write a model as one file for llama.cpp");
  auto options = std::make_shared<models::ExportOptions>();
  auto format = std::make_shared<std::string>("gguf");
  auto without = std::make_shared<bool>(false);
  command->add_option("MODEL", options->model, "Hugging Face folder")->required();
  command->add_option("--to", *format, "gguf")->capture_default_str();
  command->add_option("--type", options->type, "f32, bf16 or q8_0: of the matrices")->capture_default_str();
  command->add_flag("--no-tokenizer", *without, "leave the tokenizer out");
  command->add_option("--out", options->file, "the file to write; must not exist")->required();
  command->footer(
      "An adapter is merged first: masbak-worker merge models/demo my-adapter --out merged && "
      "masbak-worker export merged --to gguf --type q8_0 --out merged.gguf");
  command->callback([&chosen = line.chosen, options, format, without] {
    chosen = [options, format, without] {
      if (*format != "gguf") base::fail_input("expected gguf, found \"" + *format + "\"", {"", 0, "--to"});
      options->tokenizer = !*without;
      const models::ExportResult result = models::export_gguf(*options);
      std::cout << base::Json{{"file", options->file.string()},      {"family", result.family},
                              {"architecture", result.architecture}, {"type", options->type},
                              {"tensors", result.tensors},           {"bytes", result.bytes}}
                       .dump()
                << "\n";
      return 0;
    };
  });
}

}  // namespace masbak::worker

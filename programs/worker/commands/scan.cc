// masbak-worker scan: every row of a data file read as training would read it, without a model.
#include <iostream>
#include <memory>

#include "base/document.h"
#include "programs/worker/commands.h"
#include "trainer/data/dataset.h"

namespace masbak::worker {
namespace {

int scan(const std::filesystem::path& file, const std::string& format) {
  trainer::DatasetOptions options;
  options.format = trainer::parse_format(format);
  const trainer::DatasetReport report = trainer::read_dataset(file, nullptr, options, nullptr, nullptr);
  std::cout << report.to_json().dump(-1, ' ', false, base::Json::error_handler_t::replace) << "\n";
  return 0;
}

}  // namespace

void add_scan(CommandLine& line) {
  CLI::App* command = line.app.add_subcommand("scan", "Read every row of a data file and list what is wrong, as JSON");
  auto file = std::make_shared<std::filesystem::path>();
  auto format = std::make_shared<std::string>("auto");
  command->add_option("FILE", *file, "JSON Lines, a JSON array of rows, or CSV; also compressed by gzip")->required();
  command
      ->add_option("--format", *format,
                   "auto, alpaca, sharegpt, messages, prompt_completion, text, preference, kto, tokens")
      ->capture_default_str();
  command->footer("Example: masbak-worker scan train.jsonl");
  command->callback(
      [&chosen = line.chosen, file, format] { chosen = [file, format] { return scan(*file, *format); }; });
}

}  // namespace masbak::worker

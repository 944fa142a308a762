// masbak-worker scan: every row of a data file read as training would read it, without a model.
#include <iostream>
#include <memory>

#include "base/document.h"
#include "programs/worker/commands.h"
#include "trainer/data/dataset.h"

namespace masbak::worker {
namespace {

int scan(const std::filesystem::path& file, const std::string& format) {
  trainer::DatasetReport report;
  trainer::read_conversations(file, trainer::parse_format(format), &report);
  std::cout << report.to_json().dump() << "\n";
  return 0;
}

}  // namespace

void add_scan(CommandLine& line) {
  CLI::App* command = line.app.add_subcommand("scan", "Read every row of a data file and list what is wrong, as JSON");
  auto file = std::make_shared<std::filesystem::path>();
  auto format = std::make_shared<std::string>("auto");
  command->add_option("FILE", *file, "JSON Lines, or a JSON array of rows")->required();
  command->add_option("--format", *format, "auto, alpaca, sharegpt, messages, text, preference, tokens")
      ->capture_default_str();
  command->footer("Example: masbak-worker scan train.jsonl");
  command->callback(
      [&chosen = line.chosen, file, format] { chosen = [file, format] { return scan(*file, *format); }; });
}

}  // namespace masbak::worker

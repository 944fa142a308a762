// masbak-worker mask: what training would learn of a row.
#include <memory>

#include "base/error.h"
#include "programs/worker/commands.h"
#include "programs/worker/json_lines.h"
#include "trainer/data/conversation.h"
#include "trainer/data/format.h"
#include "trainer/data/sample.h"

namespace masbak::worker {
namespace {

using base::Json;

struct MaskOptions {
  std::string model, format = "auto", loss_on = "assistant";
  int64_t max_length = 1 << 20;
  bool plain_text = false;
};

trainer::DatasetOptions dataset_options(const MaskOptions& options) {
  trainer::DatasetOptions result;
  result.format = trainer::parse_format(options.format);
  result.max_length = options.max_length;
  result.apply_chat_template = !options.plain_text;
  for (const auto choice : {trainer::LossOn::kAssistant, trainer::LossOn::kLastTurn, trainer::LossOn::kAll}) {
    if (trainer::loss_on_name(choice) == options.loss_on) result.loss_on = choice;
  }
  if (trainer::loss_on_name(result.loss_on) != options.loss_on) {
    base::fail_input("expected assistant, last_turn or all, found '" + options.loss_on + "'", {"", 0, "--loss-on"});
  }
  return result;
}

Json mask_row(const Json& object, int line, const trainer::TextTools& tools, const trainer::DatasetOptions& dataset) {
  trainer::Format format = dataset.format;
  if (format == trainer::Format::kAuto) format = trainer::detect_format(object, nullptr);
  if (format == trainer::Format::kAuto) {
    base::fail_input("cannot tell the format of the row: expected the fields of " + trainer::known_formats());
  }
  trainer::Conversation row = trainer::read_row(object, format);
  row.line = line;
  const trainer::MadeSequence made = trainer::make_sequence(row, tools, dataset);
  const trainer::TokenView view = made.sequence;
  Json answer{{"format", trainer::format_name(format)}, {"ids", view.ids}, {"labels", view.labels}};
  if (!view.rejected_ids.empty()) {
    answer["rejected_ids"] = view.rejected_ids;
    answer["rejected_labels"] = view.rejected_labels;
  }
  answer["tokens"] = made.full_length;
  answer["rewritten"] = made.rewritten;
  answer["pieces"] = trainer::sample_json(view, *tools.tokenizer)["pieces"];
  return answer;
}

int mask(const MaskOptions& options) {
  trainer::DatasetOptions dataset = dataset_options(options);
  const auto tools = trainer::TextTools::load(options.model, trainer::Format::kMessages, dataset);
  answer_json_lines([&](const Json& object, int line) {
    try {
      return mask_row(object, line, tools, dataset);
    } catch (const base::Error& error) {
      if (error.code() == base::Code::kFailedPrecondition) throw;
      // A bad row is what this command is asked about, not the end of it.
      return Json{{"problem", {{"line", line}, {"field", error.where().field}, {"message", error.what()}}}};
    }
  });
  return 0;
}

}  // namespace

void add_mask(CommandLine& line) {
  auto options = std::make_shared<MaskOptions>();
  CLI::App* command = line.app.add_subcommand("mask", "Rows of a dataset to tokens, and which of them are learnt");
  command->footer(
      "Rows of any format in, lines of {\"ids\":[…],\"labels\":[…],\"pieces\":[{\"text\":…,\"learnt\":true}]} out.\n"
      "Example: head -3 train.jsonl | masbak-worker mask models/base");
  command->add_option("MODEL", options->model, "model folder with tokenizer and chat template")->required();
  command->add_option("--format", options->format, "format of the rows")->capture_default_str();
  command->add_option("--loss-on", options->loss_on, "assistant, last_turn or all")->capture_default_str();
  command->add_option("--max-length", options->max_length, "longer rows are cut")->capture_default_str();
  command->add_flag("--plain-text", options->plain_text, "prompts and answers given as texts stay plain text");
  command->callback([options, &chosen = line.chosen] { chosen = [options] { return mask(*options); }; });
}

}  // namespace masbak::worker

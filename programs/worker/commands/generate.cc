// masbak-worker generate: prompts in, answers out, as JSON lines.
#include <iostream>
#include <memory>
#include <optional>

#include "adapters/file.h"
#include "base/error.h"
#include "models/families/causal_model.h"
#include "models/families/place.h"
#include "models/generation/engine.h"
#include "models/tokenizer/chat_template.h"
#include "models/tokenizer/tokenizer.h"
#include "programs/worker/commands.h"
#include "programs/worker/json_lines.h"

namespace masbak::worker {
namespace {

struct GenerateOptions {
  std::string model, adapter;
  std::string dtype = "auto", device = "cpu";
  models::SamplingOptions sampling;
};

// What a row becomes: {"ids"} as they stand, {"prompt"} tokenised, {"messages"} rendered by the chat template
// and tokenised. A text that tokens precede on their own (BOS) gets them unless the template wrote them.
class PromptReader {
 public:
  explicit PromptReader(const std::string& folder) : folder_(folder) {}

  std::vector<int32_t> read(const base::Json& row, int line) {
    const int given = row.contains("ids") + row.contains("prompt") + row.contains("messages");
    if (given != 1) {
      base::fail_input(
          "expected one of \"prompt\", \"messages\" and \"ids\", found " + std::to_string(given) + " of them",
          input_line(line));
    }
    if (row.contains("ids")) return ids(row["ids"], line);
    if (row.contains("prompt")) {
      if (!row["prompt"].is_string()) base::fail_input("expected a string", input_line(line, "prompt"));
      return tokenizer().encode(row["prompt"].get<std::string>(), true);
    }
    if (!row["messages"].is_array()) base::fail_input("expected a list of messages", input_line(line, "messages"));
    if (!template_) template_ = models::ChatTemplate::load(folder_);
    base::Json context = row;
    if (!context.contains("add_generation_prompt")) context["add_generation_prompt"] = true;
    return tokenizer().encode(template_->render(context).text, false);
  }

  const models::Tokenizer& tokenizer() {
    if (!tokenizer_) tokenizer_ = models::Tokenizer::load(folder_);
    return *tokenizer_;
  }

 private:
  static std::vector<int32_t> ids(const base::Json& list, int line) {
    if (!list.is_array()) base::fail_input("expected a list of token ids", input_line(line, "ids"));
    std::vector<int32_t> ids;
    for (const base::Json& id : list) {
      if (!id.is_number_integer() || id < 0 || id > INT32_MAX) {
        base::fail_input("expected token ids, found " + id.dump(), input_line(line, "ids"));
      }
      ids.push_back(id.get<int32_t>());
    }
    return ids;
  }

  std::string folder_;
  std::optional<models::Tokenizer> tokenizer_;
  std::optional<models::ChatTemplate> template_;
};

std::vector<int32_t> read_row(PromptReader& reader, const std::string& text, int line) {
  const base::Json row = base::parse_json(text, "standard input", line);
  if (!row.is_object()) base::fail_input("expected a JSON object such as {\"prompt\": \"…\"}", input_line(line));
  try {
    return reader.read(row, line);
  } catch (const base::Error& error) {  // a template or the tokenizer does not know the line
    if (!error.where().file.empty()) throw;
    throw base::Error(error.code(), error.what(), input_line(line, error.where().field));
  }
}

int generate(GenerateOptions options) {
  PromptReader reader(options.model);
  std::vector<std::vector<int32_t>> prompts;
  std::string text;
  for (int line = 1; std::getline(std::cin, text); ++line) {
    if (text.find_first_not_of(" \t\r") != std::string::npos) prompts.push_back(read_row(reader, text, line));
  }
  options.sampling.stop_ids = reader.tokenizer().eos_ids();
  const std::unique_ptr<models::CausalModel> model =
      models::load_model_on(options.device, options.model, options.dtype);
  if (!options.adapter.empty()) adapters::apply_adapter(*model, options.adapter);
  for (const models::Generated& result : models::generate(*model, prompts, options.sampling)) {
    base::Json answer;
    answer["ids"] = result.ids;
    answer["text"] = reader.tokenizer().decode(result.ids, true);
    answer["finish_reason"] = models::finish_reason_name(result.finish_reason);
    std::cout << answer.dump() << '\n';
  }
  std::cout.flush();
  return 0;
}

}  // namespace

void add_generate(CommandLine& line) {
  auto options = std::make_shared<GenerateOptions>();
  CLI::App* command =
      line.app.add_subcommand("generate",
                              "Answers to prompts: {\"prompt\":…}, {\"messages\":…} or {\"ids\":…} lines in, "
                              "{\"ids\":…,\"text\":…,\"finish_reason\":…} lines out, in the same order");
  command->footer("Example: echo '{\"prompt\":\"A pump is\"}' | masbak-worker generate models/base --max-tokens 32");
  command->add_option("MODEL", options->model, "Model folder")->required();
  command->add_option("--adapter", options->adapter, "Adapter folder in PEFT's format");
  command->add_option("--max-tokens", options->sampling.max_tokens, "At most so many new tokens")
      ->check(CLI::PositiveNumber);
  command->add_option("--temperature", options->sampling.temperature, "0: always the most likely token")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--top-p", options->sampling.top_p, "Draw from the likeliest that hold this share")
      ->check(CLI::Range(0.0, 1.0));
  command->add_option("--top-k", options->sampling.top_k, "Draw from so many likeliest; 0: from all")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--seed", options->sampling.seed, "Of the random numbers");
  command->add_option("--dtype", options->dtype, "float32, bfloat16 or auto (the checkpoint's)");
  command->add_option("--device", options->device, "cpu, cuda or cuda:N")->capture_default_str();
  command->callback([options, &chosen = line.chosen] { chosen = [options] { return generate(*options); }; });
}

}  // namespace masbak::worker

// masbak-worker tokenize: text to token ids, or back.
#include <memory>

#include "base/error.h"
#include "models/tokenizer/tokenizer.h"
#include "programs/worker/commands.h"
#include "programs/worker/json_lines.h"

namespace masbak::worker {
namespace {

struct TokenizeOptions {
  std::string model;
  bool decode = false;
  bool add_special_tokens = false;
  bool skip_special_tokens = false;
};

std::string text_of(const base::Json& object, int line) {
  auto text = object.find("text");
  if (text == object.end() || !text->is_string()) {
    base::fail_input(
        "expected a string \"text\", found " + std::string(text == object.end() ? "none" : text->type_name()),
        input_line(line, "text"));
  }
  return text->get<std::string>();
}

std::vector<int32_t> ids_of(const base::Json& object, int line) {
  auto ids = object.find("ids");
  if (ids == object.end() || !ids->is_array()) {
    base::fail_input("expected a list \"ids\", found " + std::string(ids == object.end() ? "none" : ids->type_name()),
                     input_line(line, "ids"));
  }
  std::vector<int32_t> numbers;
  for (size_t i = 0; i < ids->size(); ++i) {
    const base::Json& id = (*ids)[i];
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() > INT32_MAX) {
      base::fail_input("expected a token id, found " + id.dump(), input_line(line, "ids[" + std::to_string(i) + "]"));
    }
    numbers.push_back(id.get<int32_t>());
  }
  return numbers;
}

int tokenize(const TokenizeOptions& options) {
  models::Tokenizer tokenizer = models::Tokenizer::load(options.model);
  answer_json_lines([&](const base::Json& object, int line) {
    base::Json answer;
    if (options.decode) {
      answer["text"] = tokenizer.decode(ids_of(object, line), options.skip_special_tokens);
    } else {
      answer["ids"] = tokenizer.encode(text_of(object, line), options.add_special_tokens);
    }
    return answer;
  });
  return 0;
}

}  // namespace

void add_tokenize(CommandLine& line) {
  auto options = std::make_shared<TokenizeOptions>();
  CLI::App* command = line.app.add_subcommand("tokenize", "Text to token ids, or back");
  command->footer(
      "Lines of {\"text\":…} in, lines of {\"ids\":[…]} out; the other way with --decode.\n"
      "Example: echo '{\"text\":\"pump P-101\"}' | masbak-worker tokenize models/base");
  command->add_option("MODEL", options->model, "Model folder with tokenizer.json")->required();
  command->add_flag("--decode", options->decode, "Ids to text instead");
  command->add_flag("--add-special-tokens", options->add_special_tokens, "Add the tokenizer's own BOS and EOS");
  command->add_flag("--skip-special-tokens", options->skip_special_tokens, "Leave special tokens out of decoded text");
  command->callback([options, &chosen = line.chosen] { chosen = [options] { return tokenize(*options); }; });
}

}  // namespace masbak::worker

// masbak-worker render: conversations through the model's chat template.
#include <memory>

#include "base/error.h"
#include "models/tokenizer/chat_template.h"
#include "programs/worker/commands.h"
#include "programs/worker/json_lines.h"

namespace masbak::worker {
namespace {

struct RenderOptions {
  std::string model;
  bool generation = false;
};

base::Json rendered(const models::ChatTemplate& chat, const base::Json& object, int line, bool generation) {
  if (!object.contains("messages")) {
    base::fail_input(
        "expected \"messages\", found none; give {\"messages\": [{\"role\": \"user\", \"content\": \"…\"}]}",
        input_line(line, "messages"));
  }
  models::RenderedChat result;
  try {
    result = chat.render(object);
  } catch (const base::Error& error) {
    std::string place;
    if (error.where().line > 0) place = "; chat template, line " + std::to_string(error.where().line);
    throw base::Error(error.code(), error.what() + place, input_line(line, error.where().field));
  }
  base::Json answer = {{"text", result.text}};
  if (generation) {
    answer["generation"] = base::Json::array();
    for (const auto& [begin, end] : result.generation) answer["generation"].push_back({begin, end});
  }
  return answer;
}

}  // namespace

void add_render(CommandLine& line) {
  auto options = std::make_shared<RenderOptions>();
  CLI::App* command = line.app.add_subcommand(
      "render", "Apply the chat template: {\"messages\":[…],\"tools\":[…],…} lines in, {\"text\":…} lines out");
  command->footer(
      "Example: echo '{\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}],\"add_generation_prompt\":true}' | "
      "masbak-worker render models/base");
  command->add_option("MODEL", options->model, "Model folder with a chat template")->required();
  command->add_flag("--generation", options->generation, "Also print the byte ranges of generation blocks");
  command->callback([options, &chosen = line.chosen] {
    chosen = [options] {
      models::ChatTemplate chat = models::ChatTemplate::load(options->model);
      answer_json_lines(
          [&](const base::Json& object, int number) { return rendered(chat, object, number, options->generation); });
      return 0;
    };
  });
}

}  // namespace masbak::worker

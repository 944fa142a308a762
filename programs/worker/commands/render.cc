// masbak-worker render: conversations through the model's chat template.
#include <algorithm>
#include <atomic>
#include <filesystem>
#include <memory>
#include <mutex>

#include "base/error.h"
#include "models/tokenizer/chat_template.h"
#include "models/tokenizer/jinja/json_reader.h"
#include "models/tokenizer/tokenizer.h"
#include "models/tokenizer/unicode.h"
#include "programs/worker/commands.h"
#include "programs/worker/json_lines.h"
#include "programs/worker/parallel_lines.h"
#include "trainer/data/mask.h"

namespace masbak::worker {
namespace {

struct RenderOptions {
  std::string model;
  bool generation = false, keep_going = false;
};

using Ranges = std::vector<std::pair<size_t, size_t>>;

class Renderer {
 public:
  explicit Renderer(RenderOptions options)
      : options_(std::move(options)), chat_(models::ChatTemplate::load_any(options_.model)) {}

  void answer(std::string_view text, int line, std::string& out) {
    try {
      render(text, line, out);
    } catch (const base::Error& error) {
      if (!options_.keep_going) throw;
      ++failed_;
      out = "{\"error\":";
      models::jinja::append_json_string(out, error.describe(), false);
      out += '}';
    }
  }

  int failed() const { return failed_; }

 private:
  void render(std::string_view text, int line, std::string& out) {
    const models::ChatContext context = models::ChatContext::parse(text, "standard input", line);
    if (!context.has("messages")) {
      base::fail_input(
          "expected \"messages\", found none; give {\"messages\": [{\"role\": \"user\", \"content\": \"…\"}]}",
          input_line(line, "messages"));
    }
    models::RenderedChat result;
    try {
      result = chat_.render(context);
    } catch (const base::Error& error) {
      std::string place;
      if (error.where().line > 0) place = "; chat template, line " + std::to_string(error.where().line);
      throw base::Error(error.code(), error.what() + place, input_line(line, error.where().field));
    }
    out.reserve(result.text.size() + result.text.size() / 16 + 64);
    out += "{\"text\":";
    models::jinja::append_json_string(out, result.text, false);
    if (options_.generation) append_ranges(out, "generation", result.generation);
    if (context.wants_assistant_mask()) append_mask(out, std::move(result), line);
    out += '}';
  }

  static void append_ranges(std::string& out, const char* name, const Ranges& ranges) {
    base::Json list = base::Json::array();
    for (const auto& [begin, end] : ranges) list.push_back({begin, end});
    out += std::string(",\"") + name + "\":" + list.dump();
  }

  // In order, overlapping ones joined, empty ones left out.
  static Ranges apart(Ranges ranges) {
    std::sort(ranges.begin(), ranges.end());
    Ranges result;
    for (const auto& [begin, end] : ranges) {
      if (begin >= end) continue;
      if (result.empty() || begin > result.back().second) {
        result.emplace_back(begin, end);
      } else {
        result.back().second = std::max(result.back().second, end);
      }
    }
    return result;
  }

  // The spans in characters, as transformers counts them; with a tokeniser also the ids and their mask.
  void append_mask(std::string& out, models::RenderedChat chat, int line) {
    Ranges spans;
    for (const auto& [begin, end] : chat.generation) {
      const std::string_view text = chat.text;
      const size_t first = models::count_code_points(text.substr(0, begin));
      spans.emplace_back(first, first + models::count_code_points(text.substr(begin, end - begin)));
    }
    append_ranges(out, "assistant_spans", spans);
    const models::Tokenizer* tokenizer = load_tokenizer();
    if (tokenizer == nullptr) return;
    try {
      const trainer::TokenMask mask =
          trainer::tokenize_with_mask({std::move(chat.text), apart(std::move(chat.generation))}, *tokenizer);
      base::Json trained = base::Json::array();
      for (const bool each : mask.trained) trained.push_back(each ? 1 : 0);
      out += ",\"input_ids\":" + base::Json(mask.ids).dump() + ",\"assistant_masks\":" + trained.dump();
    } catch (const base::Error& error) {
      throw base::Error(error.code(), error.what(), input_line(line));
    }
  }

  // Null if the folder has no tokeniser.
  const models::Tokenizer* load_tokenizer() {
    std::call_once(tokenizer_once_, [this] {
      if (std::filesystem::exists(std::filesystem::path(options_.model) / "tokenizer.json")) {
        tokenizer_ = std::make_unique<models::Tokenizer>(models::Tokenizer::load(options_.model));
      }
    });
    return tokenizer_.get();
  }

  RenderOptions options_;
  models::ChatTemplate chat_;
  std::once_flag tokenizer_once_;
  std::unique_ptr<models::Tokenizer> tokenizer_;
  std::atomic<int> failed_ = 0;
};

}  // namespace

void add_render(CommandLine& line) {
  auto options = std::make_shared<RenderOptions>();
  CLI::App* command = line.app.add_subcommand(
      "render", "Apply the chat template: {\"messages\":[…],\"tools\":[…],…} lines in, {\"text\":…} lines out");
  command->footer(
      "Further keys of a line are variables of the template (enable_thinking, documents, …), except chat_template (a\n"
      "template to take instead, or the name of one), continue_final_message, and return_assistant_tokens_mask, which\n"
      "adds assistant_spans (in characters) and, if the folder has a tokenizer.json, input_ids and assistant_masks.\n"
      "Example: echo '{\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}],\"add_generation_prompt\":true}' | "
      "masbak-worker render models/base");
  command->add_option("MODEL", options->model, "Model folder with a chat template")->required();
  command->add_flag("--generation", options->generation, "Also print the byte ranges of generation blocks");
  command->add_flag("--keep-going", options->keep_going,
                    "Answer a line that fails with {\"error\":…} and go on; exit status 2 at the end");
  command->callback([options, &chosen = line.chosen] {
    chosen = [options] {
      if (!std::filesystem::is_directory(options->model)) models::ChatTemplate::load(options->model);  // says why not
      Renderer renderer(*options);
      answer_lines_in_parallel([&](std::string_view text, int number) {
        std::string out;
        renderer.answer(text, number, out);
        return out;
      });
      if (renderer.failed() > 0) base::fail_input(std::to_string(renderer.failed()) + " lines could not be rendered");
      return 0;
    };
  });
}

}  // namespace masbak::worker

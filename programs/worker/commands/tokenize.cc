// masbak-worker tokenize: text to token ids, or back.
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <memory>

#include "base/error.h"
#include "models/tokenizer/tokenizer.h"
#include "programs/worker/commands.h"
#include "programs/worker/json_lines.h"
#include "programs/worker/parallel_lines.h"

namespace masbak::worker {
namespace {

struct TokenizeOptions {
  std::string model;
  bool decode = false;
  bool add_special_tokens = false;
  bool skip_special_tokens = false;
  bool stats = false;
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

// Seconds that all threads together have spent in the tokenizer, and how much went through it.
struct Stats {
  std::atomic<int64_t> nanoseconds{0}, bytes{0}, tokens{0};
};

std::string answer_with_text(const models::Tokenizer& tokenizer, const TokenizeOptions& options, std::string_view line,
                             int number) {
  std::vector<int32_t> ids;
  if (!read_lone_ids(line, "ids", ids)) ids = ids_of(parse_input_line(line, number), number);
  base::Json answer;
  answer["text"] = tokenizer.decode(ids, options.skip_special_tokens);
  return answer.dump();
}

std::string answer_with_ids(const models::Tokenizer& tokenizer, const TokenizeOptions& options, std::string_view line,
                            int number, Stats& stats) {
  thread_local std::string text;
  if (!read_lone_text(line, "text", text)) text = text_of(parse_input_line(line, number), number);
  const auto start = std::chrono::steady_clock::now();
  const std::vector<int32_t> ids = tokenizer.encode(text, options.add_special_tokens);
  stats.nanoseconds += std::chrono::nanoseconds(std::chrono::steady_clock::now() - start).count();
  stats.bytes += static_cast<int64_t>(text.size());
  stats.tokens += static_cast<int64_t>(ids.size());
  std::string answer = "{\"ids\":[";
  answer.reserve(answer.size() + ids.size() * 7 + 2);
  for (size_t i = 0; i < ids.size(); ++i) {
    char digits[12];
    const auto end = std::to_chars(digits, digits + sizeof digits, ids[i]).ptr;
    if (i > 0) answer += ',';
    answer.append(digits, end);
  }
  return answer += "]}";
}

int tokenize(const TokenizeOptions& options) {
  const models::Tokenizer tokenizer = models::Tokenizer::load(options.model);
  Stats stats;
  answer_lines_in_parallel([&](std::string_view line, int number) {
    return options.decode ? answer_with_text(tokenizer, options, line, number)
                          : answer_with_ids(tokenizer, options, line, number, stats);
  });
  if (options.stats) {
    base::Json json{{"thread_seconds", static_cast<double>(stats.nanoseconds) * 1e-9},
                    {"bytes", stats.bytes.load()},
                    {"tokens", stats.tokens.load()}};
    std::fprintf(stderr, "%s\n", json.dump().c_str());
  }
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
  command->add_flag("--stats", options->stats,
                    "Print to standard error how much was tokenised and the seconds of all threads in the tokenizer");
  command->callback([options, &chosen = line.chosen] { chosen = [options] { return tokenize(*options); }; });
}

}  // namespace masbak::worker

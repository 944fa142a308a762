// masbak-worker evaluate: a suite asked of a model, with or without an adapter, and a report of it.
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "adapters/file.h"
#include "base/durable_file.h"
#include "base/error.h"
#include "models/checkpoint/folder.h"
#include "models/families/causal_model.h"
#include "models/families/place.h"
#include "models/generation/engine.h"
#include "models/tokenizer/chat_template.h"
#include "models/tokenizer/tokenizer.h"
#include "policies/suites/report.h"
#include "policies/suites/suite.h"
#include "programs/worker/commands.h"
#include "trainer/data/dataset.h"
#include "trainer/objectives/sft.h"

namespace masbak::worker {
namespace {

using base::Json;
using policies::SuiteReport;
namespace fs = std::filesystem;

constexpr size_t kProgressEvery = 10;  // questions or examples

struct EvaluateOptions {
  std::string model, adapter, suite, out;
  std::string dtype = "auto", device = "cpu";
};

void show_progress(const std::string& suite, size_t done, size_t all, const char* what) {
  if (done % kProgressEvery == 0 || done == all) {
    std::cerr << suite << ": " << done << " of " << all << " " << what << '\n';
  }
}

std::vector<int32_t> prompt_of(const policies::Suite& suite, const policies::Question& question,
                               const models::Tokenizer& tokenizer, const models::ChatTemplate& chat_template) {
  Json messages = Json::array();
  if (!suite.system.empty()) messages.push_back({{"role", "system"}, {"content", suite.system}});
  messages.push_back({{"role", "user"}, {"content", question.question}});
  return tokenizer.encode(chat_template.render({{"messages", messages}, {"add_generation_prompt", true}}).text);
}

// Every question answered greedily, batched.
std::vector<std::string> ask(const policies::Suite& suite, const fs::path& folder, models::CausalModel& model) {
  const auto tokenizer = models::Tokenizer::load(folder);
  const auto chat_template = models::ChatTemplate::load(folder);
  models::SamplingOptions sampling;
  sampling.max_tokens = suite.max_tokens;
  sampling.stop_ids = tokenizer.eos_ids();
  std::vector<std::vector<int32_t>> answers(suite.questions.size());
  size_t done = 0;
  models::Engine engine(model);
  for (size_t i = 0; i < suite.questions.size(); ++i) {
    engine.submit(
        {prompt_of(suite, suite.questions[i], tokenizer, chat_template), sampling,
         [&answers, i](int32_t id) {
           answers[i].push_back(id);
           return true;
         },
         [&](models::FinishReason) { show_progress(suite.name, ++done, suite.questions.size(), "questions"); }});
  }
  while (engine.step()) {
  }
  std::vector<std::string> texts;
  for (const auto& answer : answers) texts.push_back(tokenizer.decode(answer, true));
  return texts;
}

// The examples of a loss suite. A bad row is an error here: a measure must not depend on what was left out.
trainer::Examples read_examples(const policies::Suite& suite, const fs::path& folder) {
  trainer::DatasetReport report;
  trainer::DatasetOptions options;
  options.max_length = suite.max_length;
  options.format = trainer::detect_file(suite.data, trainer::parse_format(suite.format)).format;
  const auto tools = trainer::TextTools::load(folder, options.format, options);
  const trainer::Examples examples = trainer::read_examples(suite.data, tools, options, &report);
  if (!report.problems.empty()) {
    const trainer::RowNote& first = report.problems.front();
    base::fail_input(first.message, {suite.data.string(), first.line, first.field});
  }
  return examples;
}

std::vector<policies::ExampleLoss> measure(const policies::Suite& suite, const fs::path& folder,
                                           models::CausalModel& model) {
  const int64_t vocabulary = model.info().vocabulary;
  const trainer::Examples examples = read_examples(suite, folder);
  std::vector<policies::ExampleLoss> losses;
  for (int64_t i = 0; i < examples.size(); ++i) {
    const trainer::TokenView example = examples[i];
    const trainer::LabelledBatch batch = trainer::label_batch({example}, vocabulary);
    losses.push_back({example.line, trainer::sft_loss(model, batch), batch.labelled()});
    show_progress(suite.name, losses.size(), static_cast<size_t>(examples.size()), "examples");
  }
  return losses;
}

int evaluate(const EvaluateOptions& options) {
  if (!fs::is_regular_file(options.suite)) {
    throw base::Error(base::Code::kNotFound,
                      "expected the path of a suite file (YAML), found none at '" + options.suite + "'",
                      {"", 0, "--suite"});
  }
  const policies::Suite suite = policies::Suite::read(options.suite);
  const std::unique_ptr<models::CausalModel> model =
      models::load_model_on(options.device, options.model, options.dtype);
  if (!options.adapter.empty()) adapters::apply_adapter(*model, options.adapter);
  SuiteReport report = suite.kind == policies::SuiteKind::kContains
                           ? policies::score_answers(suite, ask(suite, options.model, *model))
                           : policies::score_losses(suite, measure(suite, options.model, *model));
  report.model_digest = models::model_digest(options.model);
  if (!options.adapter.empty()) report.adapter_digest = adapters::adapter_digest(options.adapter);
  const Json json = report.to_json();
  base::write_file_durably(options.out, json.dump(2) + "\n");
  std::cout << Json{{"suite", json["suite"]},
                    {"kind", json["kind"]},
                    {"metrics", json["metrics"]},
                    {"report", options.out}}
                   .dump()
            << '\n';
  return 0;
}

}  // namespace

void add_evaluate(CommandLine& line) {
  auto options = std::make_shared<EvaluateOptions>();
  CLI::App* command = line.app.add_subcommand("evaluate", "Run an evaluation suite and write its report (JSON)");
  command->footer(
      "Example: masbak-worker evaluate models/base --adapter job/adapter --suite suites/questions.yaml "
      "--out report.json");
  command->add_option("MODEL", options->model, "Model folder")->required();
  command->add_option("--adapter", options->adapter, "Adapter folder in PEFT's format");
  command->add_option("--suite", options->suite, "Suite file (YAML)")->required();
  command->add_option("--out", options->out, "The report to write")->required();
  command->add_option("--dtype", options->dtype, "float32, bfloat16 or auto (the checkpoint's)");
  command->add_option("--device", options->device, "cpu, cuda or cuda:N")->capture_default_str();
  command->callback([options, &chosen = line.chosen] { chosen = [options] { return evaluate(*options); }; });
}

}  // namespace masbak::worker

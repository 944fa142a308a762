// masbak-worker validate: everything that can be wrong with a run, found before anything trains.
#include <iostream>
#include <memory>
#include <optional>

#include "adapters/plan.h"
#include "base/digest.h"
#include "base/error.h"
#include "models/checkpoint/inspect.h"
#include "models/families/causal_model.h"
#include "models/tokenizer/chat_template.h"
#include "models/tokenizer/tokenizer.h"
#include "programs/worker/commands.h"
#include "trainer/data/dataset.h"
#include "trainer/run_config.h"

namespace masbak::worker {
namespace {

using base::Json;
namespace fs = std::filesystem;

constexpr size_t kMostLines = 100;  // of problems for people; the JSON has them all

// Collects problems instead of stopping at the first.
class Validation {
 public:
  explicit Validation(fs::path file) : file_(std::move(file)) {}

  int run() {
    attempt("", [&] { run_ = trainer::RunConfig::read(file_); });
    if (run_) {
      check_model();
      check_dataset("train", run_->dataset.train);
      if (!run_->dataset.eval.empty()) check_dataset("eval", run_->dataset.eval);
    }
    print();
    return problems_.empty() ? 0 : 2;
  }

 private:
  // A fault without a place of its own is at `field` of the run file.
  template <typename Work>
  bool attempt(const std::string& field, const Work& work) {
    try {
      work();
      return true;
    } catch (const base::Error& error) {
      base::Where where = error.where();
      if (where.file.empty()) where = {file_.string(), where.line, where.field.empty() ? field : where.field};
      add(base::Error(error.code(), error.what(), where));
      return false;
    }
  }

  void add(const base::Error& error) {
    if (problems_.size() < kMostLines) std::cerr << "problem: " << error.describe() << '\n';
    problems_.push_back({{"code", std::string(base::code_name(error.code()))},
                         {"message", error.what()},
                         {"file", error.where().file},
                         {"line", error.where().line},
                         {"field", error.where().field}});
  }

  void check_model() {
    const fs::path& folder = run_->model;
    const bool whole = attempt("model", [&] {
      const models::Inspection found = models::inspect_model(folder);
      vocabulary_ = found.vocabulary;
      report_["model"] = {{"family", found.family}, {"parameters", found.parameters}, {"digest", found.digest}};
      if (run_->training.max_length > found.max_positions) {
        add(base::Error(base::Code::kInvalidArgument,
                        "expected at most the model's " + std::to_string(found.max_positions) + " positions, found " +
                            std::to_string(run_->training.max_length),
                        {file_.string(), 0, "training.max_length"}));
      }
    });
    if (!whole) return;
    attempt("adapter", [&] {
      const auto model = models::load_model(folder);
      const adapters::Plan plan = adapters::make_plan(run_->adapter, adapters::places(*model));
      report_["plan"] = {{"tensors", plan.targets.size()},
                         {"trainable_parameters", plan.trainable_parameters},
                         {"digest", plan.digest()}};
    });
  }

  void check_dataset(const std::string& key, const fs::path& file) {
    trainer::DatasetReport dataset;
    const bool usable = attempt("dataset." + key, [&] {
      const auto rows = trainer::read_conversations(file, run_->dataset.format, &dataset);
      tokenize(rows, &dataset);
    });
    for (const trainer::RowProblem& problem : dataset.problems) {
      add(base::Error(base::Code::kInvalidArgument, problem.message, {file.string(), problem.line, problem.field}));
    }
    if (usable && dataset.trained_tokens == 0 && dataset.problems.empty() && tokenizer_) {
      add(base::Error(base::Code::kInvalidArgument, "the file has nothing to learn", {file.string()}));
    }
    Json json = dataset.to_json();
    json["role"] = key;
    json.erase("problems");  // they stand in the list of all
    json["bad_rows"] = dataset.problems.size();
    if (usable) json["digest"] = base::digest_file(file);
    report_["datasets"].push_back(std::move(json));
  }

  // As far as the model's folder allows: what is wrong there is told once.
  void tokenize(const std::vector<trainer::Conversation>& rows, trainer::DatasetReport* dataset) {
    if (dataset->format == trainer::Format::kTokens) {
      if (vocabulary_ > 0) trainer::take_tokens(rows, vocabulary_, run_->dataset_options(), dataset);
      return;
    }
    if (!tokenizer_ && !load_text_tools(dataset->format)) return;
    trainer::tokenize_conversations(rows, *tokenizer_, chat_template_ ? &*chat_template_ : nullptr,
                                    run_->dataset_options(), dataset);
  }

  bool load_text_tools(trainer::Format format) {
    if (text_tools_failed_) return false;
    const bool loaded = attempt("model", [&] {
      auto tokenizer = models::Tokenizer::load(run_->model);
      if (format != trainer::Format::kText) chat_template_ = models::ChatTemplate::load(run_->model);
      tokenizer_ = std::move(tokenizer);
    });
    text_tools_failed_ = !loaded;
    return loaded;
  }

  void print() {
    if (problems_.size() > kMostLines) {
      std::cerr << "problem: … and " << problems_.size() - kMostLines << " more, in the report on standard output\n";
    }
    Json result{{"run", file_.string()}, {"ok", problems_.empty()}};
    result.update(report_);
    result["problems"] = problems_;
    std::cout << result.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
    if (problems_.empty()) std::cerr << "no problem found\n";
  }

  fs::path file_;
  std::optional<trainer::RunConfig> run_;
  std::optional<models::Tokenizer> tokenizer_;
  std::optional<models::ChatTemplate> chat_template_;
  bool text_tools_failed_ = false;
  int64_t vocabulary_ = 0;
  Json report_{{"datasets", Json::array()}};
  Json problems_ = Json::array();
};

}  // namespace

void add_validate(CommandLine& line) {
  CLI::App* command = line.app.add_subcommand(
      "validate", "Check a run file, its model and every row of its data; print a JSON report, exit 2 on problems");
  auto file = std::make_shared<std::string>();
  command->add_option("RUN.yaml", *file, "the run file")->required();
  command->footer("Example: masbak-worker validate run.yaml");
  command->callback([&chosen = line.chosen, file] { chosen = [file] { return Validation(*file).run(); }; });
}

}  // namespace masbak::worker

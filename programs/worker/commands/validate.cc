// masbak-worker validate: everything that can be wrong with a run, found before anything trains.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <optional>

#include "adapters/plan.h"
#include "base/digest.h"
#include "base/error.h"
#include "models/checkpoint/inspect.h"
#include "models/families/causal_model.h"
#include "programs/worker/commands.h"
#include "trainer/data/dataset.h"
#include "trainer/data/report_text.h"
#include "trainer/data/sample.h"
#include "trainer/loop/data.h"
#include "trainer/run_config.h"

namespace masbak::worker {
namespace {

using base::Json;
namespace fs = std::filesystem;

constexpr size_t kSamples = 3, kSampleBytes = 2000;
constexpr size_t kMostLines = 100;  // of problems for people; the JSON has them all

// A list of JSON values in a temporary file.
class JsonList {
 public:
  JsonList() : file_(std::tmpfile(), &std::fclose) {
    if (!file_) base::fail_errno("creating a temporary file", fs::temp_directory_path().string());
  }
  void add(const Json& value) {
    const std::string text = (size_++ > 0 ? "," : "") + value.dump(-1, ' ', false, Json::error_handler_t::replace);
    if (std::fwrite(text.data(), 1, text.size(), file_.get()) != text.size()) {
      base::fail_errno("writing a temporary file", fs::temp_directory_path().string());
    }
  }
  size_t size() const { return size_; }
  void print(std::ostream& out) {
    out << '[';
    std::rewind(file_.get());
    char buffer[1 << 16];
    for (size_t got = 0; (got = std::fread(buffer, 1, sizeof buffer, file_.get())) > 0;) {
      out.write(buffer, static_cast<std::streamsize>(got));
    }
    out << ']';
  }

 private:
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
  size_t size_ = 0;
};

// A few examples from all over a file: those whose content has the smallest digests.
class Samples {
 public:
  void offer(const trainer::TokenSequence& example, uint64_t content) {
    if (chosen_.size() == kSamples && content >= std::prev(chosen_.end())->first) return;
    chosen_.emplace(content, example);
    if (chosen_.size() > kSamples) chosen_.erase(std::prev(chosen_.end()));
  }
  std::vector<trainer::TokenSequence> list() const {
    std::vector<trainer::TokenSequence> result;
    for (const auto& entry : chosen_) result.push_back(entry.second);
    std::sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a.line < b.line; });
    return result;
  }

 private:
  std::map<uint64_t, trainer::TokenSequence> chosen_;
};

// Collects problems instead of stopping at the first.
class Validation {
 public:
  explicit Validation(fs::path file) : file_(std::move(file)) {}

  int run() {
    attempt("", [&] { run_ = trainer::RunConfig::read(file_); });
    if (run_) {
      check_model();
      for (const fs::path& train : run_->dataset.train) check_dataset("train", train);
      for (const fs::path& eval : run_->dataset.eval) check_dataset("eval", eval);
    }
    print();
    return problems_.size() == 0 ? 0 : 2;
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
    problems_.add({{"code", std::string(base::code_name(error.code()))},
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
    trainer::DatasetOptions options = run_->dataset_options();
    trainer::DatasetReport dataset;
    Samples samples;
    const bool usable = attempt("dataset." + key, [&] {
      const trainer::DetectedFormat found = trainer::detect_file(file, options.format);
      options.format = found.format;
      trainer::check_objective(run_->objective, options.format, file.string());
      const trainer::TextTools* tools = tools_for(options);
      dataset = trainer::read_dataset(
          file, tools, options, [&](const trainer::RowNote& note) { take_note(file, note); },
          [&](const trainer::TokenSequence& example, uint64_t content) { samples.offer(example, content); });
      dataset.detected = found.detected;
    });
    if (!usable) return;
    Json json = dataset.to_json();
    json["role"] = key;
    json.erase("problems");  // they stand in the list of all
    json["digest"] = base::digest_file(file);
    std::cerr << trainer::report_text(dataset, options.max_length);
    show_samples(samples.list(), &json);
    report_["datasets"].push_back(std::move(json));
  }

  void take_note(const fs::path& file, const trainer::RowNote& note) {
    if (note.kind == trainer::RowNote::Kind::kProblem) {
      add(base::Error(base::Code::kInvalidArgument, note.message, {file.string(), note.line, note.field}));
      return;
    }
    Json json{{"file", file.string()}};
    json.update(note.to_json());
    notes_.add(json);
  }

  // Null where the model's folder does not allow it: what is wrong there is told once.
  const trainer::TextTools* tools_for(const trainer::DatasetOptions& options) {
    const auto [at, is_new] = tools_.try_emplace(options.format);
    if (is_new) {
      attempt("model", [&] { at->second = trainer::TextTools::load(run_->model, options.format, options); });
      if (at->second && options.format == trainer::Format::kTokens) at->second->vocabulary = vocabulary_;
    }
    return at->second ? &*at->second : nullptr;
  }

  void show_samples(const std::vector<trainer::TokenSequence>& samples, Json* json) {
    for (auto& [format, tools] : tools_) {
      if (!tools || !tools->tokenizer) continue;
      const bool colours = isatty(STDERR_FILENO) && !std::getenv("NO_COLOR");
      for (const trainer::TokenSequence& example : samples) {
        const Json sample = trainer::sample_json(example, *tools->tokenizer);
        std::cerr << "  sample, line " << example.line << (colours ? " (green is learnt):\n" : " (⟦learnt⟧):\n")
                  << trainer::sample_text(sample, colours, kSampleBytes);
        (*json)["samples"].push_back(sample);
      }
      return;
    }
  }

  void print() {
    if (problems_.size() > kMostLines) {
      std::cerr << "problem: … and " << problems_.size() - kMostLines << " more, in the report on standard output\n";
    }
    Json result{{"run", file_.string()}, {"ok", problems_.size() == 0}};
    result.update(report_);
    // The lists may be longer than memory is large: they are written item by item.
    std::string head = result.dump(-1, ' ', false, Json::error_handler_t::replace);
    head.pop_back();
    std::cout << head << ",\"problems\":";
    problems_.print(std::cout);
    std::cout << ",\"notes\":";
    notes_.print(std::cout);
    std::cout << "}\n";
    if (problems_.size() == 0) std::cerr << "no problem found\n";
  }

  fs::path file_;
  std::optional<trainer::RunConfig> run_;
  std::map<trainer::Format, std::optional<trainer::TextTools>> tools_;
  int64_t vocabulary_ = 0;
  Json report_{{"datasets", Json::array()}};
  JsonList problems_, notes_;
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

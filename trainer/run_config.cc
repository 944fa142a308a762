#include "trainer/run_config.h"

#include <algorithm>
#include <sstream>

#include "base/error.h"
#include "trainer/config_reading.h"

namespace masbak::trainer {
namespace {

using base::Fields;
namespace fs = std::filesystem;

fs::path resolve(const fs::path& path, const fs::path& run_file) {
  if (path.empty() || path.is_absolute()) return path;
  return fs::absolute(run_file).parent_path() / path;
}

fs::path read_path(const Fields& fields, const std::string& key, const fs::path& run_file) {
  const std::string text = fields.get<std::string>(key);
  if (text.empty()) fields.fail(key, "expected a path, found an empty text");
  return resolve(text, run_file).lexically_normal();
}

// One path, or a list of them.
std::vector<fs::path> read_paths(const Fields& fields, const std::string& key, const fs::path& run_file) {
  if (!fields.raw(key).is_array()) return {read_path(fields, key, run_file)};
  std::vector<fs::path> paths;
  for (const std::string& text : fields.get<std::vector<std::string>>(key)) {
    if (text.empty()) fields.fail(key, "expected paths, found an empty text");
    paths.push_back(resolve(text, run_file).lexically_normal());
  }
  if (paths.empty()) fields.fail(key, "expected at least one path, found an empty list");
  return paths;
}

DatasetConfig read_dataset(const Fields& dataset, const std::string& objective, const fs::path& run_file) {
  DatasetConfig config;
  config.train = read_paths(dataset, "train", run_file);
  if (dataset.has("eval")) config.eval = read_paths(dataset, "eval", run_file);
  config.eval_fraction = read_number(dataset, "eval_fraction", 0.0, 0.0, 0.9);
  if (config.eval_fraction > 0 && !config.eval.empty()) {
    dataset.fail("eval_fraction", "expected either eval or eval_fraction, found both; remove one of them");
  }
  const std::vector<std::string> formats{"auto",       "alpaca", "sharegpt", "messages",         "text",
                                         "preference", "tokens", "kto",      "prompt_completion"};
  config.format = parse_format(read_choice(dataset, "format", "auto", formats, {}));
  if (config.format == Format::kPreference && objective == "sft") {
    dataset.fail("format",
                 "objective sft cannot learn from preference pairs; give alpaca, sharegpt, messages, text "
                 "or tokens");
  }
  const std::string name = read_choice(dataset, "deduplicate", "none", {"none", "exact", "near"}, {});
  for (const Deduplicate choice : {Deduplicate::kNone, Deduplicate::kExact, Deduplicate::kNear}) {
    if (deduplicate_name(choice) == name) config.deduplicate = choice;
  }
  // Below 0.5 the bands of the hash miss many pairs.
  config.deduplicate_threshold = read_number(dataset, "deduplicate_threshold", config.deduplicate_threshold, 0.5, 1.0);
  config.apply_chat_template = dataset.get<bool>("apply_chat_template", config.apply_chat_template);
  dataset.finish();
  return config;
}

// Single quotes are YAML's plainest quoting: only the quote itself is doubled.
std::string quoted(const std::string& text) {
  std::string result = "'";
  for (char c : text) result += c == '\'' ? std::string("''") : std::string(1, c);
  return result + "'";
}

std::string quoted(const std::vector<std::string>& list) {
  std::string result = "[";
  for (const std::string& text : list) result += (result.size() > 1 ? ", " : "") + quoted(text);
  return result + "]";
}

void write_adapter(std::ostream& out, const adapters::LoraConfig& adapter) {
  out << "adapter:\n";
  // With a path the folder says the rest, and only what the run file insisted on is repeated.
  const auto wanted = [&](const std::string& key) {
    return adapter.path.empty() || std::find(adapter.given.begin(), adapter.given.end(), key) != adapter.given.end();
  };
  const auto names = [](const std::vector<std::string>& list, const std::string& pattern) {
    return pattern.empty() ? quoted(list) : quoted(pattern);
  };
  if (!adapter.path.empty()) out << "  path: " << quoted(adapter.path) << '\n';
  if (wanted("r")) out << "  r: " << adapter.r << '\n';
  if (wanted("lora_alpha")) out << "  lora_alpha: " << number_text(adapter.lora_alpha) << '\n';
  if (wanted("lora_dropout")) out << "  lora_dropout: " << number_text(adapter.lora_dropout) << '\n';
  if (wanted("target_modules")) {
    out << "  target_modules: " << names(adapter.target_modules, adapter.target_pattern) << '\n';
  }
  if (wanted("target_parameters") && !adapter.target_parameters.empty()) {
    out << "  target_parameters: " << quoted(adapter.target_parameters) << '\n';
  }
  if (!adapter.exclude_modules.empty() || !adapter.exclude_pattern.empty()) {
    out << "  exclude_modules: " << names(adapter.exclude_modules, adapter.exclude_pattern) << '\n';
  }
  if (wanted("use_rslora")) out << "  use_rslora: " << adapter.use_rslora << '\n';
  out << adapter.options_yaml();
}

void write_dataset(std::ostream& out, const DatasetConfig& dataset) {
  const auto paths = [](const std::vector<fs::path>& files) {
    std::vector<std::string> list;
    for (const fs::path& file : files) list.push_back(fs::absolute(file).string());
    const std::string& first = list.front();
    return list.size() == 1 ? quoted(first) : quoted(list);
  };
  out << "dataset:\n  train: " << paths(dataset.train) << '\n';
  if (!dataset.eval.empty()) out << "  eval: " << paths(dataset.eval) << '\n';
  if (dataset.eval_fraction > 0) out << "  eval_fraction: " << number_text(dataset.eval_fraction) << '\n';
  out << "  format: " << format_name(dataset.format) << "\n  deduplicate: " << deduplicate_name(dataset.deduplicate)
      << "\n  deduplicate_threshold: " << number_text(dataset.deduplicate_threshold)
      << "\n  apply_chat_template: " << dataset.apply_chat_template << '\n';
}

}  // namespace

RunConfig RunConfig::read(const fs::path& file) { return read(Fields::read_yaml(file), file); }

RunConfig RunConfig::read(const Fields& run, const fs::path& file) {
  RunConfig config;
  config.file = file;
  config.model = read_path(run, "model", file);
  config.objective = read_choice(run, "objective", "sft", {"sft", "dpo", "orpo", "kto"}, {"grpo"});
  config.dataset = read_dataset(run.require_child("dataset"), config.objective, file);
  const Fields adapter = run.child("adapter");
  config.adapter = adapters::LoraConfig::read(adapter);
  config.adapter.path = resolve(config.adapter.path, file).lexically_normal().string();
  config.training = TrainingConfig::read(run.child("training"), config.objective);
  if (config.objective != "sft" && config.adapter.lora_dropout > 0) {
    adapter.fail("lora_dropout",
                 "objective " + config.objective +
                     " compares exact probabilities and trains without dropout, as trl does; set it to 0.0");
  }
  run.finish();
  return config;
}

std::string RunConfig::to_yaml() const {
  std::ostringstream out;
  out << std::boolalpha;
  out << "model: " << quoted(fs::absolute(model).string()) << '\n';
  write_dataset(out, dataset);
  out << "objective: " << objective << '\n';
  write_adapter(out, adapter);
  out << training.to_yaml(objective);
  return out.str();
}

DatasetOptions RunConfig::dataset_options() const {
  return {dataset.format,      training.max_length,          training.loss_on, dataset.apply_chat_template,
          dataset.deduplicate, dataset.deduplicate_threshold};
}

}  // namespace masbak::trainer

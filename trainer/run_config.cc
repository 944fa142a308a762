#include "trainer/run_config.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

#include "base/error.h"

namespace masbak::trainer {
namespace {

using base::Fields;
namespace fs = std::filesystem;

[[noreturn]] void fail_unimplemented(const Fields& fields, const std::string& key, const std::string& message) {
  throw base::Error(base::Code::kUnimplemented, message, fields.where(key));
}

std::string number(double value) {
  std::ostringstream text;
  text.precision(std::numeric_limits<double>::max_digits10);
  text << value;
  return text.str();
}

// A number in [low, high], or in (low, high] if `open_below`.
double read_number(const Fields& fields, const std::string& key, double fallback, double low, double high,
                   bool open_below = false) {
  const double value = fields.get<double>(key, fallback);
  const bool inside = std::isfinite(value) && value <= high && (open_below ? value > low : value >= low);
  if (!inside) {
    std::string range = (open_below ? "a number above " : "a number from ") + number(low);
    if (high < std::numeric_limits<double>::max()) range += " to " + number(high);
    fields.fail(key, "expected " + range + ", found " + number(value));
  }
  return value;
}

int64_t read_count(const Fields& fields, const std::string& key, int64_t fallback, int64_t low,
                   int64_t high = std::numeric_limits<int32_t>::max()) {
  const int64_t value = fields.get<int64_t>(key, fallback);
  if (value < low || value > high) {
    fields.fail(key, "expected a whole number from " + std::to_string(low) + " to " + std::to_string(high) +
                         ", found " + std::to_string(value));
  }
  return value;
}

// One of `known`; one of `later` is UNIMPLEMENTED.
std::string read_choice(const Fields& fields, const std::string& key, const std::string& fallback,
                        const std::vector<std::string>& known, const std::vector<std::string>& later) {
  const std::string value = fields.get<std::string>(key, fallback);
  std::string list;
  for (const std::string& name : known) {
    if (name == value) return value;
    list += (list.empty() ? "" : ", ") + name;
  }
  for (const std::string& name : later) {
    if (name == value) fail_unimplemented(fields, key, key + " '" + value + "' is not built yet; there is: " + list);
  }
  std::vector<std::string> all = known;
  all.insert(all.end(), later.begin(), later.end());
  const auto nearest = base::nearest_name(value, all);
  fields.fail(key, "expected one of " + list + ", found '" + value + "'" +
                       (nearest ? "; did you mean '" + *nearest + "'?" : ""));
}

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

Schedule read_schedule(const Fields& training) {
  const std::string name =
      read_choice(training, "lr_scheduler_type", "cosine", {"linear", "cosine", "constant", "constant_with_warmup"},
                  {"cosine_with_restarts", "polynomial", "inverse_sqrt", "reduce_lr_on_plateau", "cosine_with_min_lr",
                   "warmup_stable_decay"});
  for (Schedule schedule : {Schedule::kLinear, Schedule::kCosine, Schedule::kConstant}) {
    if (schedule_name(schedule) == name) return schedule;
  }
  return Schedule::kConstantWithWarmup;
}

LossOn read_loss_on(const Fields& training) {
  const std::string name = read_choice(training, "loss_on", "assistant", {"assistant", "last_turn", "all"}, {});
  LossOn loss_on = LossOn::kAssistant;
  for (const LossOn choice : {LossOn::kLastTurn, LossOn::kAll}) {
    if (loss_on_name(choice) == name) loss_on = choice;
  }
  if (!training.has("assistant_only_loss")) return loss_on;
  const bool assistant_only = training.get<bool>("assistant_only_loss");
  if (training.has("loss_on") && assistant_only == (loss_on == LossOn::kAll)) {
    training.fail("loss_on", "assistant_only_loss says otherwise; remove one of them");
  }
  if (training.has("loss_on")) return loss_on;
  return assistant_only ? LossOn::kAssistant : LossOn::kAll;
}

// Options of the file format that have one value so far: any other is refused, never ignored.
void refuse_unbuilt(const Fields& training) {
  if (training.get<bool>("gradient_checkpointing", false)) {
    fail_unimplemented(training, "gradient_checkpointing",
                       "gradient checkpointing is not built yet; set it to false and lower max_length or "
                       "per_device_train_batch_size to save memory");
  }
  if (read_number(training, "router_aux_loss_coef", 0.0, 0.0, 1e6) != 0.0) {
    fail_unimplemented(training, "router_aux_loss_coef", "the router's auxiliary loss is not built yet; set it to 0.0");
  }
}

TrainingConfig read_training(const Fields& training) {
  constexpr double kMax = std::numeric_limits<double>::max();
  TrainingConfig config;
  config.learning_rate = read_number(training, "learning_rate", config.learning_rate, 0.0, 10.0, true);
  config.schedule = read_schedule(training);
  config.warmup_ratio = read_number(training, "warmup_ratio", config.warmup_ratio, 0.0, 1.0);
  config.num_train_epochs = read_number(training, "num_train_epochs", config.num_train_epochs, 0.0, 1e6, true);
  if (training.has("max_steps")) config.max_steps = read_count(training, "max_steps", 1, 1);
  config.batch_size = read_count(training, "per_device_train_batch_size", config.batch_size, 1);
  config.gradient_accumulation_steps =
      read_count(training, "gradient_accumulation_steps", config.gradient_accumulation_steps, 1);
  config.max_length = read_count(training, "max_length", config.max_length, 2);
  config.packing = training.get<bool>("packing", config.packing);
  config.shuffle = training.get<bool>("shuffle", config.shuffle);
  config.loss_on = read_loss_on(training);
  config.max_grad_norm = read_number(training, "max_grad_norm", config.max_grad_norm, 0.0, kMax);
  config.weight_decay = read_number(training, "weight_decay", config.weight_decay, 0.0, 10.0);
  config.seed = static_cast<uint64_t>(read_count(training, "seed", 0, 0, std::numeric_limits<int64_t>::max()));
  config.dtype = read_choice(training, "dtype", config.dtype, {"bfloat16", "float32"}, {"float16"});
  config.eval_steps = read_count(training, "eval_steps", config.eval_steps, 1);
  config.save_steps = read_count(training, "save_steps", config.save_steps, 1);
  config.early_stopping_patience = read_count(training, "early_stopping_patience", config.early_stopping_patience, 0);
  refuse_unbuilt(training);
  training.finish();
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
  if (wanted("lora_alpha")) out << "  lora_alpha: " << number(adapter.lora_alpha) << '\n';
  if (wanted("lora_dropout")) out << "  lora_dropout: " << number(adapter.lora_dropout) << '\n';
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
  if (dataset.eval_fraction > 0) out << "  eval_fraction: " << number(dataset.eval_fraction) << '\n';
  out << "  format: " << format_name(dataset.format) << "\n  deduplicate: " << deduplicate_name(dataset.deduplicate)
      << "\n  deduplicate_threshold: " << number(dataset.deduplicate_threshold)
      << "\n  apply_chat_template: " << dataset.apply_chat_template << '\n';
}

void write_training(std::ostream& out, const TrainingConfig& training) {
  out << "training:\n  learning_rate: " << number(training.learning_rate)
      << "\n  lr_scheduler_type: " << schedule_name(training.schedule)
      << "\n  warmup_ratio: " << number(training.warmup_ratio)
      << "\n  num_train_epochs: " << number(training.num_train_epochs) << '\n';
  if (training.max_steps > 0) out << "  max_steps: " << training.max_steps << '\n';
  out << "  per_device_train_batch_size: " << training.batch_size
      << "\n  gradient_accumulation_steps: " << training.gradient_accumulation_steps
      << "\n  max_length: " << training.max_length << "\n  packing: " << training.packing
      << "\n  shuffle: " << training.shuffle
      << (training.loss_on == LossOn::kLastTurn ? "\n  loss_on: last_turn" : "\n  assistant_only_loss: ")
      << (training.loss_on == LossOn::kLastTurn    ? ""
          : training.loss_on == LossOn::kAssistant ? "true"
                                                   : "false")
      << "\n  max_grad_norm: " << number(training.max_grad_norm)
      << "\n  weight_decay: " << number(training.weight_decay) << "\n  seed: " << training.seed
      << "\n  dtype: " << training.dtype << "\n  eval_steps: " << training.eval_steps
      << "\n  save_steps: " << training.save_steps
      << "\n  early_stopping_patience: " << training.early_stopping_patience << '\n';
}

}  // namespace

std::string schedule_name(Schedule schedule) {
  switch (schedule) {
    case Schedule::kLinear: return "linear";
    case Schedule::kCosine: return "cosine";
    case Schedule::kConstant: return "constant";
    case Schedule::kConstantWithWarmup: return "constant_with_warmup";
  }
  throw base::Error(base::Code::kInternal, "a learning-rate schedule without a name");
}

RunConfig RunConfig::read(const fs::path& file) { return read(Fields::read_yaml(file), file); }

RunConfig RunConfig::read(const Fields& run, const fs::path& file) {
  RunConfig config;
  config.file = file;
  config.model = read_path(run, "model", file);
  config.objective = read_choice(run, "objective", "sft", {"sft"}, {"dpo", "orpo", "kto", "grpo"});
  config.dataset = read_dataset(run.require_child("dataset"), config.objective, file);
  const Fields adapter = run.child("adapter");
  config.adapter = adapters::LoraConfig::read(adapter);
  config.adapter.path = resolve(config.adapter.path, file).lexically_normal().string();
  config.training = read_training(run.child("training"));
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
  write_training(out, training);
  return out.str();
}

DatasetOptions RunConfig::dataset_options() const {
  return {dataset.format,      training.max_length,          training.loss_on, dataset.apply_chat_template,
          dataset.deduplicate, dataset.deduplicate_threshold};
}

}  // namespace masbak::trainer

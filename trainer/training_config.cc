#include "trainer/training_config.h"

#include <array>
#include <cmath>
#include <limits>
#include <sstream>

#include "base/error.h"
#include "trainer/config_reading.h"

namespace masbak::trainer {
namespace {

using base::Fields;

constexpr double kMax = std::numeric_limits<double>::max();

struct ScheduleName {
  Schedule schedule;
  const char* name;
};
constexpr std::array<ScheduleName, 9> kSchedules{{{Schedule::kLinear, "linear"},
                                                  {Schedule::kCosine, "cosine"},
                                                  {Schedule::kConstant, "constant"},
                                                  {Schedule::kConstantWithWarmup, "constant_with_warmup"},
                                                  {Schedule::kCosineWithRestarts, "cosine_with_restarts"},
                                                  {Schedule::kPolynomial, "polynomial"},
                                                  {Schedule::kInverseSqrt, "inverse_sqrt"},
                                                  {Schedule::kCosineWithMinLr, "cosine_with_min_lr"},
                                                  {Schedule::kWarmupStableDecay, "warmup_stable_decay"}}};

Schedule read_schedule(const Fields& training) {
  std::vector<std::string> names;
  for (const ScheduleName& entry : kSchedules) names.push_back(entry.name);
  const std::string name = read_choice(training, "lr_scheduler_type", "cosine", names,
                                       {"reduce_lr_on_plateau", "cosine_warmup_with_min_lr", "greedy"});
  for (const ScheduleName& entry : kSchedules) {
    if (name == entry.name) return entry.schedule;
  }
  throw base::Error(base::Code::kInternal, "a learning-rate schedule without a number");
}

void read_min_rate(const Fields& options, double learning_rate, ScheduleOptions* result) {
  if (options.has("min_lr") == options.has("min_lr_rate")) {
    options.fail("min_lr", "cosine_with_min_lr needs exactly one of min_lr and min_lr_rate");
  }
  result->min_lr_rate = options.has("min_lr") ? read_number(options, "min_lr", 0, 0, learning_rate) / learning_rate
                                              : read_number(options, "min_lr_rate", 0, 0, 1);
}

void read_stable_decay(const Fields& options, ScheduleOptions* result) {
  if (!options.has("num_decay_steps")) options.fail("num_decay_steps", "warmup_stable_decay needs num_decay_steps");
  result->decay_steps = read_count(options, "num_decay_steps", 0, 0);
  if (options.has("num_stable_steps")) result->stable_steps = read_count(options, "num_stable_steps", 0, 0);
  const std::vector<std::string> types{"linear", "cosine", "1-sqrt"};
  result->warmup_type = read_choice(options, "warmup_type", result->warmup_type, types);
  result->decay_type = read_choice(options, "decay_type", result->decay_type, types);
  result->min_lr_rate = read_number(options, "min_lr_ratio", 0, 0, 1);
  result->num_cycles = read_number(options, "num_cycles", 0.5, 0, 1e6);
}

ScheduleOptions read_schedule_options(const Fields& options, Schedule schedule, double learning_rate) {
  ScheduleOptions result;
  switch (schedule) {
    case Schedule::kCosine: result.num_cycles = read_number(options, "num_cycles", 0.5, 0, 1e6); break;
    case Schedule::kCosineWithRestarts:
      result.num_cycles = static_cast<double>(read_count(options, "num_cycles", 1, 1));
      break;
    case Schedule::kPolynomial:
      result.power = read_number(options, "power", result.power, 0, 1e3);
      result.lr_end = read_number(options, "lr_end", result.lr_end, 0, kMax);
      if (result.lr_end >= learning_rate) options.fail("lr_end", "must be below learning_rate");
      break;
    case Schedule::kInverseSqrt: result.timescale = read_count(options, "timescale", 0, 0); break;
    case Schedule::kCosineWithMinLr:
      result.num_cycles = read_number(options, "num_cycles", 0.5, 0, 1e6);
      read_min_rate(options, learning_rate, &result);
      break;
    case Schedule::kWarmupStableDecay: read_stable_decay(options, &result); break;
    case Schedule::kLinear:
    case Schedule::kConstant:
    case Schedule::kConstantWithWarmup: break;
  }
  options.finish();
  return result;
}

// Options of another objective are refused with the objective's name, as they would do nothing.
void refuse_others(const Fields& training, const std::string& objective) {
  const auto refuse = [&](const std::string& key, const std::string& owners, bool applies) {
    if (!applies && training.has(key)) {
      training.fail(key, "belongs to objective " + owners + "; this run's objective is " + objective);
    }
  };
  const bool dpo = objective == "dpo", kto = objective == "kto", orpo = objective == "orpo";
  refuse("beta", "dpo, orpo or kto", dpo || kto || orpo);
  refuse("loss_type", "dpo or kto", dpo || kto);
  refuse("label_smoothing", "dpo", dpo);
  refuse("desirable_weight", "kto", kto);
  refuse("undesirable_weight", "kto", kto);
  refuse("neftune_noise_alpha", "sft", objective == "sft");
}

ObjectiveOptions read_objective(const Fields& training, const std::string& objective) {
  refuse_others(training, objective);
  ObjectiveOptions options;
  if (objective == "sft") return options;
  options.beta = read_number(training, "beta", options.beta, 0, 1e6, objective != "orpo");
  if (objective == "dpo") {
    options.loss_type =
        read_choice(training, "loss_type", "sigmoid", {"sigmoid", "hinge", "ipo", "robust", "sigmoid_norm"},
                    {"exo_pair", "nca_pair", "bco_pair", "sppo_hard", "aot", "aot_unpaired", "apo_zero", "apo_down",
                     "discopop", "sft"});
    options.label_smoothing = read_number(training, "label_smoothing", 0, 0, 0.4999);
    if (options.label_smoothing > 0 && options.loss_type != "robust") {
      training.fail("label_smoothing",
                    "is used by loss_type robust; loss_type " + options.loss_type + " would ignore it, as in trl");
    }
  } else if (objective == "kto") {
    options.loss_type = read_choice(training, "loss_type", "kto", {"kto", "apo_zero_unpaired"});
    options.desirable_weight = read_number(training, "desirable_weight", 1, 0, 1e6);
    options.undesirable_weight = read_number(training, "undesirable_weight", 1, 0, 1e6);
  }
  return options;
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

Divergence read_action(const Fields& training, const std::string& key, const std::string& fallback,
                       const std::vector<std::string>& choices) {
  const std::string name = read_choice(training, key, fallback, choices);
  return name == "stop" ? Divergence::kStop : name == "warn" ? Divergence::kWarn : Divergence::kStepBack;
}

const char* action_name(Divergence action) {
  switch (action) {
    case Divergence::kStop: return "stop";
    case Divergence::kStepBack: return "step_back";
    case Divergence::kWarn: return "warn";
  }
  return "stop";
}

std::string read_dtype(const Fields& training, const std::string& fallback) {
  if (training.get<std::string>("dtype", fallback) == "float16") {
    training.fail("dtype",
                  "float16 is not offered for training: its gradients overflow without loss scaling, and CPUs compute "
                  "it slower than bfloat16; take bfloat16 or float32 (a model stored in float16 is read into either)");
  }
  return read_choice(training, "dtype", fallback, {"bfloat16", "float32"});
}

std::string read_device(const Fields& training, const std::string& fallback) {
  const std::string device = training.get<std::string>("device", fallback);
  const bool numbered = device.starts_with("cuda:") && device.size() > 5 && device.size() < 8 &&
                        device.find_first_not_of("0123456789", 5) == std::string::npos;
  if (device != "cpu" && device != "cuda" && !numbered) {
    training.fail("device", "expected cpu, cuda or cuda:N, found \"" + device + "\"");
  }
  return device;
}

void read_rates(const Fields& training, TrainingConfig* config) {
  config->learning_rate = read_number(training, "learning_rate", config->learning_rate, 0.0, 10.0, true);
  config->schedule = read_schedule(training);
  config->schedule_options =
      read_schedule_options(training.child("lr_scheduler_kwargs"), config->schedule, config->learning_rate);
  config->warmup_ratio = read_number(training, "warmup_ratio", config->warmup_ratio, 0.0, 1.0);
  config->warmup_steps = read_count(training, "warmup_steps", 0, 0);
  config->num_train_epochs = read_number(training, "num_train_epochs", config->num_train_epochs, 0.0, 1e6, true);
  if (training.has("max_steps")) config->max_steps = read_count(training, "max_steps", 1, 1);
  config->max_grad_norm = read_number(training, "max_grad_norm", config->max_grad_norm, 0.0, kMax);
  config->weight_decay = read_number(training, "weight_decay", config->weight_decay, 0.0, 10.0);
  config->adam_beta1 = read_number(training, "adam_beta1", config->adam_beta1, 0.0, 1.0);
  config->adam_beta2 = read_number(training, "adam_beta2", config->adam_beta2, 0.0, 1.0);
  config->adam_epsilon = read_number(training, "adam_epsilon", config->adam_epsilon, 0.0, 1.0, true);
}

void read_run(const Fields& training, TrainingConfig* config) {
  config->eval_steps = read_count(training, "eval_steps", config->eval_steps, 1);
  config->save_steps = read_count(training, "save_steps", config->save_steps, 1);
  config->save_total_limit = read_count(training, "save_total_limit", config->save_total_limit, 1);
  config->load_best_model_at_end = training.get<bool>("load_best_model_at_end", false);
  config->early_stopping_patience = read_count(training, "early_stopping_patience", 0, 0);
  config->early_stopping_threshold = read_number(training, "early_stopping_threshold", 0, 0, kMax);
  config->nan_action = read_action(training, "nan_action", "stop", {"stop", "step_back"});
  config->loss_spike_factor = read_number(training, "loss_spike_factor", 0, 0, 1e9);
  if (config->loss_spike_factor != 0 && config->loss_spike_factor <= 1) {
    training.fail("loss_spike_factor",
                  "expected a factor above 1 (a spike is a loss above so many times the median "
                  "of the last ones), or 0 to look for none");
  }
  config->loss_spike_action = read_action(training, "loss_spike_action", "warn", {"warn", "stop", "step_back"});
}

}  // namespace

std::string schedule_name(Schedule schedule) {
  for (const ScheduleName& entry : kSchedules) {
    if (entry.schedule == schedule) return entry.name;
  }
  throw base::Error(base::Code::kInternal, "a learning-rate schedule without a name");
}

TrainingConfig TrainingConfig::read(const Fields& training, const std::string& objective) {
  TrainingConfig config;
  read_rates(training, &config);
  config.batch_size = read_count(training, "per_device_train_batch_size", config.batch_size, 1);
  config.eval_batch_size = read_count(training, "per_device_eval_batch_size", 0, 0);
  config.gradient_accumulation_steps =
      read_count(training, "gradient_accumulation_steps", config.gradient_accumulation_steps, 1);
  config.max_length = read_count(training, "max_length", config.max_length, 2);
  // Preferences compare whole answers, a row each; packing is for plain text.
  config.packing = training.get<bool>("packing", objective == "sft");
  if (config.packing && objective != "sft") {
    training.fail("packing", "objective " + objective + " compares answers row by row; set packing to false");
  }
  config.shuffle = training.get<bool>("shuffle", config.shuffle);
  config.loss_on = read_loss_on(training);
  config.seed = static_cast<uint64_t>(read_count(training, "seed", 0, 0, std::numeric_limits<int64_t>::max()));
  config.dtype = read_dtype(training, config.dtype);
  config.device = read_device(training, config.device);
  config.checkpointing = Checkpointing::read(training);
  config.memory_budget = read_bytes(training, "memory_budget", 0);
  if (config.checkpointing.choice == Checkpointing::Choice::kAuto && config.device != "cpu" &&
      config.memory_budget == 0) {
    training.fail("gradient_checkpointing", "auto looks at the memory of the host, and the run is for device " +
                                                config.device +
                                                "; say how much it may take there with memory_budget, such as 70GiB");
  }
  config.router_aux_loss_coef = read_number(training, "router_aux_loss_coef", 0.0, 0.0, 1e6);
  config.neftune_noise_alpha = read_number(training, "neftune_noise_alpha", 0.0, 0.0, 1e6);
  read_run(training, &config);
  config.objective = read_objective(training, objective);
  training.finish();
  return config;
}

int64_t warmup_steps(const TrainingConfig& training, int64_t total) {
  if (training.warmup_steps > 0) return training.warmup_steps;
  return static_cast<int64_t>(std::ceil(training.warmup_ratio * static_cast<double>(total)));
}

namespace {

void write_schedule_options(std::ostream& out, const TrainingConfig& training) {
  const ScheduleOptions& options = training.schedule_options;
  const auto open = [&] { out << "  lr_scheduler_kwargs:\n"; };
  switch (training.schedule) {
    case Schedule::kCosine:
    case Schedule::kCosineWithRestarts:
      open();
      out << "    num_cycles: " << number_text(options.num_cycles) << '\n';
      break;
    case Schedule::kPolynomial:
      open();
      out << "    power: " << number_text(options.power) << "\n    lr_end: " << number_text(options.lr_end) << '\n';
      break;
    case Schedule::kInverseSqrt:
      open();
      out << "    timescale: " << options.timescale << '\n';
      break;
    case Schedule::kCosineWithMinLr:
      open();
      out << "    num_cycles: " << number_text(options.num_cycles)
          << "\n    min_lr_rate: " << number_text(options.min_lr_rate) << '\n';
      break;
    case Schedule::kWarmupStableDecay:
      open();
      out << "    num_decay_steps: " << options.decay_steps << '\n';
      if (options.stable_steps >= 0) out << "    num_stable_steps: " << options.stable_steps << '\n';
      out << "    warmup_type: " << options.warmup_type << "\n    decay_type: " << options.decay_type
          << "\n    min_lr_ratio: " << number_text(options.min_lr_rate)
          << "\n    num_cycles: " << number_text(options.num_cycles) << '\n';
      break;
    case Schedule::kLinear:
    case Schedule::kConstant:
    case Schedule::kConstantWithWarmup: break;
  }
}

const char* loss_on_yaml(LossOn loss_on) {
  if (loss_on == LossOn::kLastTurn) return "\n  loss_on: last_turn";
  return loss_on == LossOn::kAssistant ? "\n  assistant_only_loss: true" : "\n  assistant_only_loss: false";
}

void write_objective(std::ostream& out, const ObjectiveOptions& options, const std::string& objective) {
  if (objective == "sft") return;
  out << "  beta: " << number_text(options.beta) << '\n';
  if (!options.loss_type.empty()) out << "  loss_type: " << options.loss_type << '\n';
  if (options.label_smoothing > 0) out << "  label_smoothing: " << number_text(options.label_smoothing) << '\n';
  if (objective == "kto") {
    out << "  desirable_weight: " << number_text(options.desirable_weight)
        << "\n  undesirable_weight: " << number_text(options.undesirable_weight) << '\n';
  }
}

}  // namespace

std::string TrainingConfig::to_yaml(const std::string& run_objective) const {
  std::ostringstream out;
  out << std::boolalpha << "training:\n  learning_rate: " << number_text(learning_rate)
      << "\n  lr_scheduler_type: " << schedule_name(schedule) << '\n';
  write_schedule_options(out, *this);
  out << "  warmup_ratio: " << number_text(warmup_ratio) << '\n';
  if (warmup_steps > 0) out << "  warmup_steps: " << warmup_steps << '\n';
  out << "  num_train_epochs: " << number_text(num_train_epochs) << '\n';
  if (max_steps > 0) out << "  max_steps: " << max_steps << '\n';
  out << "  per_device_train_batch_size: " << batch_size << '\n';
  if (eval_batch_size > 0) out << "  per_device_eval_batch_size: " << eval_batch_size << '\n';
  out << "  gradient_accumulation_steps: " << gradient_accumulation_steps << "\n  max_length: " << max_length
      << "\n  packing: " << packing << "\n  shuffle: " << shuffle << loss_on_yaml(loss_on)
      << "\n  max_grad_norm: " << number_text(max_grad_norm) << "\n  weight_decay: " << number_text(weight_decay)
      << "\n  adam_beta1: " << number_text(adam_beta1) << "\n  adam_beta2: " << number_text(adam_beta2)
      << "\n  adam_epsilon: " << number_text(adam_epsilon) << "\n  seed: " << seed << "\n  dtype: " << dtype;
  // Not written for the CPU: a job of an earlier version resumes.
  if (device != "cpu") out << "\n  device: '" << device << "'";
  out << "\n  gradient_checkpointing: " << checkpointing.to_yaml();
  if (memory_budget > 0) out << "\n  memory_budget: " << memory_budget;
  out << "\n  router_aux_loss_coef: " << number_text(router_aux_loss_coef) << "\n  eval_steps: " << eval_steps
      << "\n  save_steps: " << save_steps << "\n  save_total_limit: " << save_total_limit
      << "\n  load_best_model_at_end: " << load_best_model_at_end
      << "\n  early_stopping_patience: " << early_stopping_patience
      << "\n  early_stopping_threshold: " << number_text(early_stopping_threshold)
      << "\n  nan_action: " << action_name(nan_action) << "\n  loss_spike_factor: " << number_text(loss_spike_factor)
      << "\n  loss_spike_action: " << action_name(loss_spike_action) << '\n';
  if (neftune_noise_alpha > 0) out << "  neftune_noise_alpha: " << number_text(neftune_noise_alpha) << '\n';
  write_objective(out, objective, run_objective);
  return out.str();
}

}  // namespace masbak::trainer

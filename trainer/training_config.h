// The training section of RUN.yaml: how the numbers are learnt. The names and meanings are those of transformers'
// TrainingArguments and of trl's SFTConfig, DPOConfig, ORPOConfig and KTOConfig, where these have the option.
#pragma once

#include <cstdint>
#include <string>

#include "base/document.h"
#include "trainer/checkpointing.h"
#include "trainer/data/dataset.h"

namespace masbak::trainer {

enum class Schedule {
  kLinear,
  kCosine,
  kConstant,
  kConstantWithWarmup,
  kCosineWithRestarts,
  kPolynomial,
  kInverseSqrt,
  kCosineWithMinLr,
  kWarmupStableDecay
};
std::string schedule_name(Schedule schedule);  // transformers' SchedulerType: "linear", "cosine", …

// lr_scheduler_kwargs: what transformers' get_scheduler hands to the schedule; each schedule knows its own.
struct ScheduleOptions {
  double num_cycles = 0.5;
  double power = 1.0, lr_end = 1e-7;
  int64_t timescale = 0;      // inverse_sqrt; 0: the steps of the warm-up, or 10,000 without one
  double min_lr_rate = 0;     // of learning_rate; min_lr_ratio in warmup_stable_decay
  int64_t stable_steps = -1;  // -1: what warm-up and decay leave
  int64_t decay_steps = 0;
  std::string warmup_type = "linear", decay_type = "cosine";  // linear, cosine, 1-sqrt
};

// What is minimised beside plain cross entropy; only the fields of the run's objective may be given.
struct ObjectiveOptions {
  std::string loss_type;       // dpo: sigmoid, hinge, ipo, robust, sigmoid_norm; kto: kto, apo_zero_unpaired
  double beta = 0.1;           // how strongly the reference holds (dpo, kto), weight of the odds ratio (orpo)
  double label_smoothing = 0;  // dpo with sigmoid-like losses: the share of pairs whose order is wrong
  double desirable_weight = 1, undesirable_weight = 1;  // kto
};

// What to do when the loss is not finite, or jumps.
enum class Divergence { kStop, kStepBack, kWarn };

struct TrainingConfig {
  double learning_rate = 2e-4;
  Schedule schedule = Schedule::kCosine;
  ScheduleOptions schedule_options;
  double warmup_ratio = 0.03;
  int64_t warmup_steps = 0;  // above 0 it overrides warmup_ratio
  double num_train_epochs = 3;
  int64_t max_steps = 0;  // 0: num_train_epochs decides
  int64_t batch_size = 4;
  int64_t eval_batch_size = 0;  // 0: as in training
  int64_t eval_rows() const { return eval_batch_size > 0 ? eval_batch_size : batch_size; }
  int64_t gradient_accumulation_steps = 1;
  int64_t max_length = 1024;
  bool packing = true;
  bool shuffle = true;
  LossOn loss_on = LossOn::kAssistant;
  double max_grad_norm = 1.0;  // 0: gradients are not clipped
  double weight_decay = 0.0;
  double adam_beta1 = 0.9, adam_beta2 = 0.999, adam_epsilon = 1e-8;
  uint64_t seed = 0;
  std::string dtype = "bfloat16";
  std::string device = "cpu";  // cpu, cuda or cuda:N
  Checkpointing checkpointing;
  int64_t memory_budget = 0;  // bytes that the run's peak is to stay within; 0: what the system can give
  double router_aux_loss_coef = 0.0;
  double neftune_noise_alpha = 0.0;  // noise on embeddings while learning (sft); 0: none
  int64_t eval_steps = 50;
  int64_t save_steps = 50;
  int64_t save_total_limit = 2;
  bool load_best_model_at_end = false;
  int64_t early_stopping_patience = 0;    // 0: off
  double early_stopping_threshold = 0.0;  // an evaluation counts as better if it is lower by more than this
  Divergence nan_action = Divergence::kStop;
  double loss_spike_factor = 0;  // a loss above this many times the median of the last ones is a spike; 0: off
  Divergence loss_spike_action = Divergence::kWarn;
  ObjectiveOptions objective;

  bool keeps_best() const { return load_best_model_at_end || early_stopping_patience > 0; }

  // INVALID_ARGUMENT, located, for an unknown key, a value out of range, or an option of another objective.
  static TrainingConfig read(const base::Fields& training, const std::string& objective);
  // The section with every default spelled out, as YAML.
  std::string to_yaml(const std::string& objective) const;
};

// The steps of the warm-up of a run of `total` steps.
int64_t warmup_steps(const TrainingConfig& training, int64_t total);

}  // namespace masbak::trainer

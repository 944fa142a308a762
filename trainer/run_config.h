// RUN.yaml: what to train, on what, and how. Reads and checks the file; touches neither model nor data.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "adapters/plan.h"
#include "base/document.h"
#include "trainer/data/dataset.h"

namespace masbak::trainer {

struct DatasetConfig {
  std::vector<std::filesystem::path> train;  // one file or several, read one after the other
  std::vector<std::filesystem::path> eval;   // empty: no evaluation, or a part of train
  double eval_fraction = 0;                  // the share of train that is evaluated instead; 0: none
  Format format = Format::kAuto;
  Deduplicate deduplicate = Deduplicate::kNone;
  double deduplicate_threshold = 0.8;
  bool apply_chat_template = true;
};

enum class Schedule { kLinear, kCosine, kConstant, kConstantWithWarmup };
std::string schedule_name(Schedule schedule);  // "linear", "cosine", "constant", "constant_with_warmup"

// The names and meanings are those of transformers' TrainingArguments and of trl's SFTConfig.
struct TrainingConfig {
  double learning_rate = 2e-4;
  Schedule schedule = Schedule::kCosine;
  double warmup_ratio = 0.03;
  double num_train_epochs = 3;
  int64_t max_steps = 0;  // 0: num_train_epochs decides
  int64_t batch_size = 4;
  int64_t gradient_accumulation_steps = 1;
  int64_t max_length = 1024;
  bool packing = true;
  bool shuffle = true;
  LossOn loss_on = LossOn::kAssistant;  // assistant_only_loss: true is assistant, false is all
  double max_grad_norm = 1.0;           // 0: gradients are not clipped
  double weight_decay = 0.0;
  uint64_t seed = 0;
  std::string dtype = "bfloat16";
  int64_t eval_steps = 50;
  int64_t save_steps = 50;
  int64_t early_stopping_patience = 0;  // 0: off
};

struct RunConfig {
  std::filesystem::path file;   // the run file itself, for messages
  std::filesystem::path model;  // a Hugging Face folder
  DatasetConfig dataset;
  std::string objective = "sft";
  adapters::LoraConfig adapter;
  TrainingConfig training;

  // Relative paths are relative to the run file. INVALID_ARGUMENT, located, for a missing or unknown key or
  // a value out of range; UNIMPLEMENTED, located, for an option that Masbak knows by name and cannot do yet.
  // Whether the paths exist is not looked at here.
  static RunConfig read(const std::filesystem::path& file);
  static RunConfig read(const base::Fields& run, const std::filesystem::path& file);

  // The run with every default spelled out and every path absolute: a run file that means the same anywhere.
  std::string to_yaml() const;
  DatasetOptions dataset_options() const;
};

}  // namespace masbak::trainer

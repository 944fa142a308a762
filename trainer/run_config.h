// RUN.yaml: what to train, on what, and how. Reads and checks the file; touches neither model nor data.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "adapters/plan.h"
#include "base/document.h"
#include "trainer/data/dataset.h"
#include "trainer/training_config.h"

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

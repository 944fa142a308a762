// An evaluation suite: what is asked of a model, and how the answers are counted.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/document.h"

namespace masbak::policies {

// contains: questions, each with the key facts that a right answer has. loss: the mean loss on a dataset.
enum class SuiteKind { kContains, kLoss };
std::string suite_kind_name(SuiteKind kind);  // "contains", "loss"

struct Question {
  std::string id;        // told apart by it in reports
  std::string language;  // "" if not told
  std::string question;
  std::vector<std::string> key;  // every one must be in the answer
  int line = 0;
};

// A suite file is YAML:
//
//   name: questions                 name: eval_loss
//   kind: contains                  kind: loss
//   questions: ../questions.jsonl   dataset: ../eval.jsonl
//   max_tokens: 48                  format: auto
//   system: …   (optional)          max_length: 1024
//
// Paths are relative to the suite file. A row of the questions file is
// {"id": …, "question": …, "key": "…" or […], "language": …}; id and language may be missing.
struct Suite {
  std::string name;
  SuiteKind kind = SuiteKind::kContains;
  std::filesystem::path file;
  std::filesystem::path data;  // the questions or the dataset
  std::string digest;          // over the suite file and the data file: two reports with one digest compare
  // contains
  std::vector<Question> questions;
  int64_t max_tokens = 64;
  std::string system;  // a system message before each question; "" leaves it to the chat template
  // loss
  std::string format = "auto";
  int64_t max_length = 1024;

  // INVALID_ARGUMENT or NOT_FOUND with file, line and field.
  static Suite read(const std::filesystem::path& file);
};

}  // namespace masbak::policies

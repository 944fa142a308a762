// Run files and suites as they lie in a task's directory. Pure text to text.
#pragma once

#include <string>

namespace masbak::services {

// Names in a task's directory.
inline constexpr const char* kTrainFile = "inputs/train.jsonl";
inline constexpr const char* kEvalFile = "inputs/eval.jsonl";
inline constexpr const char* kSuiteFile = "suite/suite.yaml";

// The run file with `model` and `dataset` naming what lies in the task's directory; all else is kept.
// INVALID_ARGUMENT, located in "run.yaml", if it is no mapping.
std::string run_for_task(const std::string& run_yaml, bool with_eval);

// The suite with its data file (`dataset` or `questions`) named `data_file`, beside it. INVALID_ARGUMENT if a data
// file is given and the suite has no such field, or the other way round.
std::string suite_for_task(const std::string& suite_yaml, const std::string& data_file);

// The last part of a path that a client gave. INVALID_ARGUMENT if it is none that a file can have.
std::string plain_file_name(const std::string& path, const std::string& field);

}  // namespace masbak::services

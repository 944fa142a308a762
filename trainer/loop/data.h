// The two datasets of a run, read and tokenised, with everything that was left out told.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "trainer/data/dataset.h"
#include "trainer/run_config.h"

namespace masbak::trainer {

struct RunData {
  Examples train, eval;
  std::vector<DatasetReport> reports;          // of train, and of eval if there is one
  std::map<std::string, std::string> digests;  // "train", "eval": of the files
};

// INVALID_ARGUMENT if a file has no row to learn from, with its first bad rows.
RunData load_run_data(const RunConfig& run);

}  // namespace masbak::trainer

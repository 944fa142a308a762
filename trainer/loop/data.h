// The datasets of a run, read and tokenised, with everything that was left out told.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "trainer/data/dataset.h"
#include "trainer/data/token_cache.h"
#include "trainer/run_config.h"

namespace masbak::trainer {

struct RunData {
  Examples train, eval;
  std::vector<DatasetReport> reports;          // a file each: of train, then of eval
  std::vector<RowNotes> notes;                 // of each report
  std::map<std::string, std::string> digests;  // "train", "eval": of the files
};

// Reads dataset.train and dataset.eval, or parts a share of train off for the evaluation (dataset.eval_fraction): on
// which side a row falls follows from what it says alone, so that it is the same in every run and for all its
// duplicates. `said` gets a line about anything that takes long.
//
// INVALID_ARGUMENT if a file has no row to learn from, with its first bad row; FAILED_PRECONDITION if the objective
// cannot learn from the file's format, or the split leaves a side empty.
RunData load_run_data(const RunConfig& run, const std::function<void(const std::string&)>& said);

// FAILED_PRECONDITION if the objective cannot learn from the format.
void check_objective(const std::string& objective, Format format, const std::string& file);

}  // namespace masbak::trainer

// What the user is told of a run's data: events, lines on the terminal, and the list of every row left out.
#pragma once

#include <filesystem>
#include <string>

#include "trainer/loop/batches.h"
#include "trainer/loop/data.h"
#include "trainer/loop/events.h"
#include "trainer/loop/progress.h"

namespace masbak::trainer {

// Rows in = rows trained + rows named: JOB/dataset_problems.jsonl names each row that is left out or cut, the events
// count and show the first.
void report_data(const RunData& data, int64_t max_length, const std::filesystem::path& job, EventLog& events,
                 Progress& progress);

// How full the rows are, in words.
std::string packing_line(const Batches& batches, const TrainingConfig& training);

// {"packing", "examples", "rows", "tokens", "max_length", "waste"}: how full the rows are; `waste` is the share of
// their room that no token uses.
base::Json packing_json(const Batches& batches, const TrainingConfig& training);

}  // namespace masbak::trainer

#include "trainer/loop/data_report.h"

#include <cstdio>

#include "base/durable_file.h"

namespace masbak::trainer {
namespace {

namespace fs = std::filesystem;
using base::Json;

constexpr size_t kProblemsInEvent = 10;
constexpr const char* kListed = "; all are listed in dataset_problems.jsonl";

void warn(const std::string& message, Json more, EventLog& events, Progress& progress) {
  Json event{{"message", message}};
  event.update(more);
  events.write("warning", event);
  progress.note("warning: " + message);
}

void report_file(const DatasetReport& report, int64_t max_length, EventLog& events, Progress& progress) {
  const std::string of_rows = " of " + std::to_string(report.rows) + " rows of " + report.file;
  if (report.bad_rows > 0) {
    Json first = Json::array();
    for (const RowNote& problem : report.problems) {
      if (first.size() == kProblemsInEvent) break;
      first.push_back(
          {{"file", report.file}, {"line", problem.line}, {"field", problem.field}, {"message", problem.message}});
    }
    warn(std::to_string(report.bad_rows) + of_rows + " are left out" + kListed, {{"rows", first}}, events, progress);
  }
  if (report.removed_duplicates > 0) {
    warn(std::to_string(report.removed_duplicates) + of_rows + " repeat an earlier row and are left out" + kListed,
         Json::object(), events, progress);
  } else if (report.duplicates > 0) {
    progress.note(std::to_string(report.duplicates) + of_rows +
                  " repeat an earlier row and are kept (dataset.deduplicate: exact leaves them out)");
  }
  if (report.truncated > 0) {
    warn(std::to_string(report.truncated) + of_rows + " are cut at max_length " + std::to_string(max_length) + kListed,
         Json::object(), events, progress);
  }
  if (report.rewritten > 0) {
    warn("in " + std::to_string(report.rewritten) + of_rows +
             " the chat template writes an earlier answer otherwise than when it was given (without its reasoning, "
             "say); what the whole chat shows of it is learnt",
         Json::object(), events, progress);
  }
}

}  // namespace

void report_data(const RunData& data, int64_t max_length, const fs::path& job, EventLog& events, Progress& progress) {
  std::unique_ptr<base::DurableWriter> list;
  for (size_t i = 0; i < data.reports.size(); ++i) {
    const DatasetReport& report = data.reports[i];
    data.notes[i].for_each([&](const RowNote& note) {
      if (!list) list = std::make_unique<base::DurableWriter>(job / "dataset_problems.jsonl");
      Json row{{"file", report.file}};
      row.update(note.to_json());
      list->write(row.dump() + "\n");
    });
    if (!report.detected.empty()) progress.note(report.file + ": " + report.detected);
    report_file(report, max_length, events, progress);
  }
  if (list) list->commit();
}

std::string packing_line(const Batches& batches, const TrainingConfig& training) {
  const Batches::RowUse use = batches.row_use();
  char waste[32];
  std::snprintf(waste, sizeof waste, "%.1f", 100 * use.waste());
  return std::to_string(use.examples) + " examples, " + std::to_string(use.tokens) + " tokens, in " +
         std::to_string(use.rows) + (training.packing ? " packed" : "") + " rows of at most " +
         std::to_string(training.max_length) + ": " + waste + " % of their room is not used" +
         (training.packing ? "" : " (no padding is computed; packing: true fills rows)");
}

Json packing_json(const Batches& batches, const TrainingConfig& training) {
  const Batches::RowUse use = batches.row_use();
  return {{"packing", training.packing}, {"examples", use.examples},          {"rows", use.rows},
          {"tokens", use.tokens},        {"max_length", training.max_length}, {"waste", use.waste()}};
}

}  // namespace masbak::trainer

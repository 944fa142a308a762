// A file, row by row: read, checked, tokenised by several threads, compared with earlier rows, counted.
#include <algorithm>
#include <thread>

#include "base/error.h"
#include "base/text.h"
#include "trainer/data/conversation.h"
#include "trainer/data/dataset.h"
#include "trainer/data/duplicates.h"
#include "trainer/data/format.h"
#include "trainer/data/ordered_work.h"
#include "trainer/data/row_source.h"

namespace masbak::trainer {
namespace {

namespace fs = std::filesystem;
using base::Json;

constexpr size_t kRowsOfBatch = 64, kBytesOfBatch = 256 << 10;
constexpr int kMostThreads = 16;
constexpr int kRowsLookedAt = 200;  // to tell the format

using Batch = std::vector<RawRow>;

// What became of one row.
struct Outcome {
  int line = 0;
  std::optional<RowNote> problem;
  bool without_answer = false;
  MadeSequence made;
  ContentKey content;
  Signature signature{};
};

int thread_count() { return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kMostThreads); }

RowNote problem_of(const base::Error& error, int line) {
  return {RowNote::Kind::kProblem, error.where().line > 0 ? error.where().line : line, error.where().field,
          error.what()};
}

bool next_batch(RowSource& rows, Batch* batch) {
  batch->clear();
  size_t bytes = 0;
  for (RawRow row; batch->size() < kRowsOfBatch && bytes < kBytesOfBatch && rows.next(&row);) {
    bytes += row.text.size();
    for (const std::string& cell : row.cells) bytes += cell.size();
    batch->push_back(std::move(row));
  }
  return !batch->empty();
}

// One run over a file.
class Reading {
 public:
  Reading(const fs::path& file, const TextTools* tools, const DatasetOptions& options, const NoteSink& note,
          const ExampleSink& example)
      : rows_(open_rows(file)),
        tools_(tools),
        options_(options),
        note_(note),
        example_(example),
        duplicates_(options.deduplicate, options.deduplicate_threshold) {
    report_.file = file.string();
    report_.format = options.format;
    report_.kind = rows_->kind();
  }

  DatasetReport run() {
    ordered_work<Batch, std::vector<Outcome>>(
        thread_count(), [&](Batch* batch) { return next_batch(*rows_, batch); },
        [&](Batch batch) {
          std::vector<Outcome> outcomes;
          for (const RawRow& row : batch) outcomes.push_back(look_at(row));
          return outcomes;
        },
        [&](std::vector<Outcome> outcomes) {
          for (Outcome& outcome : outcomes) take(outcome);
        });
    return std::move(report_);
  }

 private:
  // On any thread.
  Outcome look_at(const RawRow& raw) const {
    Outcome outcome;
    outcome.line = raw.line;
    try {
      Conversation row = read_row(rows_->parse(raw), options_.format);
      row.line = raw.line;
      outcome.content = content_key(row);
      if (options_.deduplicate == Deduplicate::kNear) outcome.signature = signature_of(row);
      if (tools_) {
        outcome.made = make_sequence(row, *tools_, options_);
        check_answer(&outcome);
      }
    } catch (const base::Error& error) {
      if (error.code() == base::Code::kFailedPrecondition) throw;
      outcome.problem = problem_of(error, raw.line);
    }
    return outcome;
  }

  void check_answer(Outcome* outcome) const {
    const TokenSequence& sequence = outcome->made.sequence;
    const auto learns = [](const std::vector<int32_t>& labels) {
      return std::any_of(labels.begin() + 1, labels.end(), [](int32_t label) { return label != kIgnoredLabel; });
    };
    if (!sequence.labels.empty() && learns(sequence.labels) &&
        (sequence.rejected_labels.empty() || learns(sequence.rejected_labels))) {
      return;
    }
    outcome->without_answer = true;
    const std::string limit = std::to_string(options_.max_length);
    const bool cut = outcome->made.full_length > options_.max_length;
    outcome->problem =
        RowNote{RowNote::Kind::kProblem, outcome->line, options_.format == Format::kTokens ? "labels" : "",
                cut ? "nothing to learn is left after the cut at max_length " + limit + " (the row has " +
                          std::to_string(outcome->made.full_length) + " tokens); raise max_length"
                    : "the row has no token to learn"};
  }

  // On the caller's thread, in the order of the rows.
  void take(Outcome& outcome) {
    ++report_.rows;
    if (outcome.made.full_length > 0) ++report_.lengths[outcome.made.full_length];
    const bool cut = outcome.made.full_length > options_.max_length;
    if (cut) ++report_.truncated;
    if (outcome.problem) {
      if (outcome.without_answer) ++report_.without_answer;
      ++report_.bad_rows;
      if (report_.problems.size() < DatasetReport::kProblemsKept) report_.problems.push_back(*outcome.problem);
      if (note_) note_(*outcome.problem);
      return;
    }
    if (left_out_as_duplicate(outcome)) return;
    ++report_.examples;
    if (outcome.made.rewritten) ++report_.rewritten;
    if (!tools_) return;
    if (cut && note_) {
      note_({RowNote::Kind::kTruncated, outcome.line, "",
             "cut from " + std::to_string(outcome.made.full_length) + " to max_length " +
                 std::to_string(options_.max_length) + " tokens"});
    }
    report_.tokens += static_cast<TokenView>(outcome.made.sequence).tokens();
    report_.trained_tokens += count_trained(outcome.made.sequence);
    example_(outcome.made.sequence, outcome.content.high);
  }

  bool left_out_as_duplicate(const Outcome& outcome) {
    const auto twin = duplicates_.add(outcome.content, outcome.signature, outcome.line);
    if (!twin) return false;
    ++(twin->exact ? report_.duplicates : report_.near_duplicates);
    if (options_.deduplicate == Deduplicate::kNone) return false;
    ++report_.removed_duplicates;
    if (note_) {
      const std::string where = " line " + std::to_string(twin->line);
      char percent[16];
      std::snprintf(percent, sizeof percent, "%.0f", 100 * twin->similarity);
      note_({RowNote::Kind::kDuplicate, outcome.line, "",
             twin->exact ? "left out: it says exactly what" + where + " says"
                         : "left out: it says nearly what" + where + " says (" + percent + " % of their " +
                               "three-word sequences are the same, as estimated)"});
    }
    return true;
  }

  const std::unique_ptr<RowSource> rows_;
  const TextTools* tools_;
  const DatasetOptions options_;
  const NoteSink& note_;
  const ExampleSink& example_;
  Duplicates duplicates_;
  DatasetReport report_;
};

// A first row that says what the file has, for the message that no format fits.
std::string fields_of(const Json& row) {
  if (!row.is_object()) return "a first row that is " + type_words(row);
  std::string names;
  for (const auto& entry : row.items()) names += (names.empty() ? "" : ", ") + entry.key();
  return names.empty() ? "a first row without fields" : "a first row with the fields " + base::shortened(names, 200);
}

struct Seen {
  int rows = 0, line = 0;
  std::string fields;
};

std::string in_words(Format format, const std::map<Format, Seen>& seen, int looked_at) {
  const Seen& chosen = seen.at(format);
  std::string text = format_name(format) + ": line " + std::to_string(chosen.line) + " has the field" +
                     (chosen.fields.find(" and ") == std::string::npos ? " " : "s ") + chosen.fields;
  if (seen.size() == 1 && chosen.rows == looked_at) return text;
  text += ", as " + std::to_string(chosen.rows) + " of the first " + std::to_string(looked_at) + " rows";
  for (const auto& [other, there] : seen) {
    if (other == format) continue;
    text += "; " + std::to_string(there.rows) + (there.rows == 1 ? " is " : " are ") + format_name(other) +
            " (the first in line " + std::to_string(there.line) + ")";
  }
  return text;
}

}  // namespace

DetectedFormat detect_file(const fs::path& file, Format format) {
  const std::unique_ptr<RowSource> rows = open_rows(file);
  DetectedFormat result{format, "", rows->kind()};
  std::map<Format, Seen> seen;
  std::string first;
  int first_line = 0, looked_at = 0;
  RawRow raw;
  while (looked_at < (format == Format::kAuto ? kRowsLookedAt : 1) && rows->next(&raw)) {
    ++looked_at;
    try {
      const Json row = rows->parse(raw);
      if (first.empty()) {
        first = fields_of(row);
        first_line = raw.line;
      }
      std::string fields;
      const Format told = detect_format(row, &fields);
      if (told == Format::kAuto) continue;
      Seen& entry = seen[told];
      if (entry.rows++ == 0) entry.line = raw.line, entry.fields = fields;
    } catch (const base::Error&) {
      // A bad row tells nothing here; it is named when the file is read.
    }
  }
  if (looked_at == 0) base::fail_input("expected at least one row, found an empty file", {.file = file.string()});
  if (format != Format::kAuto) return result;
  if (seen.empty()) {
    base::fail_input("cannot tell the format of the dataset: expected the fields of " + known_formats() + "; found " +
                         (first.empty() ? "no row that is JSON" : first) + "; rename the fields",
                     {.file = file.string(), .line = first_line});
  }
  // The most frequent; of equal ones the first in the file.
  const auto most = std::max_element(seen.begin(), seen.end(), [](const auto& a, const auto& b) {
    return std::pair(a.second.rows, -a.second.line) < std::pair(b.second.rows, -b.second.line);
  });
  result.format = most->first;
  result.detected = in_words(result.format, seen, looked_at);
  return result;
}

DatasetReport read_dataset(const fs::path& file, const TextTools* tools, const DatasetOptions& options,
                           const NoteSink& note, const ExampleSink& example) {
  DatasetOptions told = options;
  std::string detected;
  if (options.format == Format::kAuto) {
    const DetectedFormat found = detect_file(file, options.format);
    told.format = found.format;
    detected = found.detected;
  }
  DatasetReport report = Reading(file, tools, told, note, example).run();
  if (report.rows == 0) base::fail_input("expected at least one row, found an empty file", {.file = file.string()});
  report.detected = detected;
  return report;
}

Examples read_examples(const fs::path& file, const TextTools& tools, const DatasetOptions& options,
                       DatasetReport* report) {
  std::vector<TokenSequence> sequences;
  DatasetReport found = read_dataset(file, &tools, options, nullptr,
                                     [&](const TokenSequence& example, uint64_t) { sequences.push_back(example); });
  if (report) *report = std::move(found);
  return sequences;
}

}  // namespace masbak::trainer

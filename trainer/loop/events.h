// events.jsonl of a job: what the outside learns of a run, one numbered JSON object a line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/document.h"
#include "base/durable_file.h"

namespace masbak::trainer {

// Appends only. A run that goes on after a crash repeats the steps after its last checkpoint; what the file already
// tells of these is not told again, so that a reader who follows by `seq` sees each step once.
class EventLog {
 public:
  // Goes on with what the file holds. A last line that was cut short by a crash is removed first; DATA_LOSS if
  // any other line is damaged or the numbers have a gap.
  explicit EventLog(const std::filesystem::path& file);

  // Writes {"seq", "time", "type", …fields}. The file is synced to disk for every type but "step".
  void write(const std::string& type, const base::Json& fields);
  // The same for "step", "eval" and "checkpoint", unless the file already has that event of that step.
  void write_once(const std::string& type, int64_t step, const base::Json& fields);

  int64_t last_seq() const { return seq_; }
  // The loss of a step as an earlier life of the run told it.
  std::optional<double> told_loss(int64_t step) const;

 private:
  void read_past(const std::filesystem::path& file);

  int64_t seq_ = 0;
  std::map<std::string, int64_t> last_step_;  // by type
  std::map<int64_t, double> losses_;
  std::unique_ptr<base::LineAppender> appender_;
};

}  // namespace masbak::trainer

#include "trainer/loop/events.h"

#include "base/error.h"
#include "base/time.h"

namespace masbak::trainer {

namespace fs = std::filesystem;

EventLog::EventLog(const fs::path& file) : appender_(std::make_unique<base::LineAppender>(file)) { read_past(file); }

void EventLog::read_past(const fs::path& file) {
  base::read_json_lines(file, [&](int line, base::Json&& event) {
    const auto seq = event.is_object() ? event.value("seq", int64_t{0}) : int64_t{0};
    if (seq != seq_ + 1 || !event.contains("type")) {
      throw base::Error(base::Code::kDataLoss,
                        "expected event " + std::to_string(seq_ + 1) + ", found " + std::to_string(seq) +
                            "; the job's events are damaged, start it anew in another folder",
                        {file.string(), line, "seq"});
    }
    seq_ = seq;
    const auto type = event["type"].get<std::string>();
    if (!event.contains("step")) return;
    const auto step = event["step"].get<int64_t>();
    last_step_[type] = step;
    if (type == "step" && event.contains("loss") && event["loss"].is_number()) losses_[step] = event["loss"];
  });
}

void EventLog::write(const std::string& type, const base::Json& fields) {
  base::Json event{{"seq", seq_ + 1}, {"time", base::now_rfc3339()}, {"type", type}};
  event.update(fields);
  appender_->append(event.dump(), type != "step");
  ++seq_;
}

void EventLog::write_once(const std::string& type, int64_t step, const base::Json& fields) {
  const auto told = last_step_.find(type);
  if (told != last_step_.end() && told->second >= step) return;
  last_step_[type] = step;
  base::Json event{{"step", step}};
  event.update(fields);
  write(type, event);
}

std::optional<double> EventLog::told_loss(int64_t step) const {
  const auto found = losses_.find(step);
  if (found == losses_.end()) return std::nullopt;
  return found->second;
}

}  // namespace masbak::trainer

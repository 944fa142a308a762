// How a run looks to the person who waits for it: one line that renews itself on a terminal, else a plain line
// every few seconds. On standard error.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace masbak::trainer {

class Progress {
 public:
  explicit Progress(int64_t total_steps);
  ~Progress();
  void step(int64_t step, double loss, double tokens_per_second);
  // A line that stays.
  void note(const std::string& text);

 private:
  using Clock = std::chrono::steady_clock;
  const int64_t total_;
  const bool terminal_;
  bool line_open_ = false;
  int64_t first_step_ = -1;
  Clock::time_point first_, last_;
};

}  // namespace masbak::trainer

// Progress of long work: a bar with the time left on a terminal, plain lines elsewhere.
#pragma once

#include <cstdint>
#include <cstdio>
#include <deque>
#include <string>
#include <utility>

namespace masbak::cli {

// Not thread-safe. The destructor ends an open bar's line.
class Progress {
 public:
  // `stream` is stdout or stderr.
  explicit Progress(FILE* stream, std::string title);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `time_s` is when the step was done, in seconds on any clock that goes on over the calls; `detail` is short.
  void step(int64_t done, int64_t total, double time_s, const std::string& detail);
  // A line of its own.
  void note(const std::string& text);
  // What is waited for, with no measure of progress: a spinner on a terminal, one line elsewhere when it changes.
  void waiting(const std::string& what);

 private:
  void draw(const std::string& line);
  void clear();
  double seconds_left(int64_t done, int64_t total) const;

  FILE* stream_;
  std::string title_;
  bool terminal_;
  bool drawn_ = false;
  size_t columns_ = 80;
  unsigned turn_ = 0;
  double last_line_s_ = -1e300;
  std::string last_wait_;
  std::deque<std::pair<int64_t, double>> recent_;  // steps and their times, for the rate
};

}  // namespace masbak::cli

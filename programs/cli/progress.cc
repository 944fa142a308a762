#include "programs/cli/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <limits>

#include "programs/cli/output.h"

namespace masbak::cli {
namespace {

constexpr size_t kRateWindow = 30;           // steps
constexpr double kSecondsBetweenLines = 10;  // where there is no terminal

}  // namespace

Progress::Progress(FILE* stream, std::string title)
    : stream_(stream), title_(std::move(title)), terminal_(::isatty(::fileno(stream)) == 1) {
  winsize size{};
  if (terminal_ && ::ioctl(::fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 20) columns_ = size.ws_col;
}

Progress::~Progress() {
  if (drawn_) std::fputc('\n', stream_);
  std::fflush(stream_);
}

void Progress::clear() {
  if (drawn_) std::fputs("\r\033[K", stream_);
  drawn_ = false;
}

void Progress::draw(const std::string& line) {
  clear();
  std::fputs(line.substr(0, columns_ - 1).c_str(), stream_);
  std::fflush(stream_);
  drawn_ = true;
}

double Progress::seconds_left(int64_t done, int64_t total) const {
  if (recent_.size() < 2 || total <= done) return std::numeric_limits<double>::quiet_NaN();
  const auto& [first_step, first_time] = recent_.front();
  const auto& [last_step, last_time] = recent_.back();
  if (last_step <= first_step) return std::numeric_limits<double>::quiet_NaN();
  return (last_time - first_time) / static_cast<double>(last_step - first_step) * static_cast<double>(total - done);
}

void Progress::step(int64_t done, int64_t total, double time_s, const std::string& detail) {
  recent_.emplace_back(done, time_s);
  if (recent_.size() > kRateWindow) recent_.pop_front();
  const double left_s = seconds_left(done, total);
  std::string text = std::to_string(done) + (total > 0 ? "/" + std::to_string(total) : "");
  if (!detail.empty()) text += "  " + detail;
  if (const std::string left = duration(left_s); !left.empty()) text += "  " + left + " left";
  if (!terminal_) {
    if (time_s - last_line_s_ < kSecondsBetweenLines && done != total) return;
    last_line_s_ = time_s;
    std::fprintf(stream_, "%s  step %s\n", title_.c_str(), text.c_str());
    std::fflush(stream_);
    return;
  }
  constexpr int64_t kWidth = 24;
  const int64_t filled = total > 0 ? std::min(kWidth, done * kWidth / total) : 0;
  draw(title_ + "  [" + std::string(static_cast<size_t>(filled), '#') +
       std::string(static_cast<size_t>(kWidth - filled), '.') + "] " + text);
}

void Progress::note(const std::string& text) {
  clear();
  std::fprintf(stream_, "%s  %s\n", title_.c_str(), text.c_str());
  std::fflush(stream_);
}

void Progress::waiting(const std::string& what) {
  if (terminal_) {
    draw(title_ + "  " + what + " " + "|/-\\"[turn_++ % 4]);
  } else if (what != last_wait_) {
    note(what);
  }
  last_wait_ = what;
}

}  // namespace masbak::cli

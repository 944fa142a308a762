#include "trainer/loop/progress.h"

#include <unistd.h>

#include <cstdio>

namespace masbak::trainer {
namespace {

constexpr std::chrono::seconds kPlainInterval{5};

std::string duration(double seconds) {
  const auto whole = static_cast<long long>(seconds + 0.5);
  char text[48];
  if (whole >= 3600) {
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
  } else {
    std::snprintf(text, sizeof text, "%lld:%02lld", whole / 60, whole % 60);
  }
  return text;
}

}  // namespace

Progress::Progress(int64_t total_steps) : total_(total_steps), terminal_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (line_open_) std::fputc('\n', stderr);
}

void Progress::step(int64_t step, double loss, double tokens_per_second) {
  const auto now = Clock::now();
  if (first_step_ < 0) {
    first_step_ = step;
    first_ = now;
  } else if (!terminal_ && step < total_ && now - last_ < kPlainInterval) {
    return;
  }
  last_ = now;
  std::string left;
  if (step > first_step_) {
    const double per_step =
        std::chrono::duration<double>(now - first_).count() / static_cast<double>(step - first_step_);
    left = "  " + duration(per_step * static_cast<double>(total_ - step)) + " left";
  }
  std::fprintf(stderr, "%sstep %lld/%lld  loss %.4f  %.0f tokens/s%s%s", terminal_ ? "\r\033[K" : "",
               static_cast<long long>(step), static_cast<long long>(total_), loss, tokens_per_second, left.c_str(),
               terminal_ ? "" : "\n");
  std::fflush(stderr);
  line_open_ = terminal_;
}

void Progress::note(const std::string& text) {
  if (line_open_) std::fputc('\n', stderr);
  line_open_ = false;
  std::fprintf(stderr, "%s\n", text.c_str());
}

}  // namespace masbak::trainer

#include "programs/worker/line_crew.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "base/error.h"

namespace masbak::worker {
namespace {

constexpr size_t kRead = 1 << 20, kBatch = 4 << 20;
constexpr size_t kFewLines = 8;  // not worth waking other threads for

struct Line {
  std::string_view text;
  int number;
  std::string out;
  std::exception_ptr fault;
};

using Answer = std::function<void(std::string_view, int, std::string&)>;

// Threads that work through a batch of lines together with the one that hands it in.
class Crew {
 public:
  explicit Crew(const Answer& answer) : answer_(answer) {}

  ~Crew() {
    {
      std::lock_guard lock(mutex_);
      done_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  void run(std::vector<Line>& lines) {
    if (lines.size() < kFewLines) {
      for (Line& line : lines) work(line);
      return;
    }
    if (threads_.empty()) {
      for (unsigned i = 1; i < std::thread::hardware_concurrency(); ++i) threads_.emplace_back([this] { serve(); });
    }
    {
      std::lock_guard lock(mutex_);
      lines_ = &lines;
      next_ = 0;
      busy_ = threads_.size();
      ++batch_;
    }
    wake_.notify_all();
    take(lines);
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return busy_ == 0; });
  }

 private:
  void work(Line& line) const {
    try {
      answer_(line.text, line.number, line.out);
      line.out += '\n';
    } catch (...) {
      line.fault = std::current_exception();
    }
  }

  void take(std::vector<Line>& lines) {
    for (size_t i = next_++; i < lines.size(); i = next_++) work(lines[i]);
  }

  void serve() {
    size_t seen = 0;
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(lock, [&] { return done_ || batch_ != seen; });
      if (done_) return;
      seen = batch_;
      std::vector<Line>& lines = *lines_;
      lock.unlock();
      take(lines);
      lock.lock();
      if (--busy_ == 0) idle_.notify_one();
    }
  }

  const Answer& answer_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable wake_, idle_;
  std::vector<Line>* lines_ = nullptr;
  std::atomic<size_t> next_ = 0;
  size_t busy_ = 0, batch_ = 0;
  bool done_ = false;
};

// Appends what standard input has; waits only for the first byte. False at its end.
bool read_more(std::string& buffer) {
  const size_t before = buffer.size();
  while (buffer.size() - before < kBatch) {
    pollfd input{STDIN_FILENO, POLLIN, 0};
    if (buffer.size() > before && ::poll(&input, 1, 0) <= 0) return true;
    const size_t size = buffer.size();
    buffer.resize(size + kRead);
    const ssize_t count = ::read(STDIN_FILENO, buffer.data() + size, kRead);
    buffer.resize(size + static_cast<size_t>(std::max<ssize_t>(count, 0)));
    if (count < 0 && errno != EINTR) base::fail_errno("reading", "standard input");
    if (count == 0) return false;
  }
  return true;
}

void write_all(std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(STDOUT_FILENO, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      throw base::Error(base::Code::kUnavailable, std::string("standard output was closed before all answers were "
                                                              "written: ") +
                                                      std::strerror(errno));
    }
    text.remove_prefix(static_cast<size_t>(count));
  }
}

void write_answers(const std::vector<Line>& lines) {
  std::string out;
  for (const Line& line : lines) {
    if (line.fault) {
      write_all(out);
      std::rethrow_exception(line.fault);
    }
    out += line.out;
  }
  write_all(out);
}

}  // namespace

void answer_lines(const Answer& answer) {
  Crew crew(answer);
  std::string buffer;
  std::vector<Line> lines;
  int number = 0;
  for (bool more = true; more;) {
    const size_t known = buffer.size();
    more = read_more(buffer);
    if (more && buffer.find('\n', known) == std::string::npos) continue;
    std::string_view rest = buffer;
    lines.clear();
    while (!rest.empty()) {
      size_t end = rest.find('\n');
      if (end == std::string_view::npos && more) break;
      end = std::min(end, rest.size());
      std::string_view text = rest.substr(0, end);
      rest.remove_prefix(std::min(end + 1, rest.size()));
      ++number;
      if (text.find_first_not_of(" \t\r") != std::string_view::npos) lines.push_back({text, number, {}, nullptr});
    }
    crew.run(lines);
    write_answers(lines);
    buffer.erase(0, buffer.size() - rest.size());
  }
}

}  // namespace masbak::worker

#include "base/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <mutex>
#include <sstream>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/process_spawn.h"

namespace masbak::base {
namespace {

using Clock = std::chrono::steady_clock;

// Children given up with release() still become zombies of ours when they end: looked after here.
std::mutex released_mutex;
std::vector<pid_t> released;

void reap_released() {
  const std::lock_guard lock(released_mutex);
  std::erase_if(released, [](pid_t pid) { return ::waitpid(pid, nullptr, WNOHANG) != 0; });
}

// Waits for the end of `pid`; nullopt if it still runs and `block` is false. The group is killed while
// its leader is a zombie, so that its number cannot belong to anybody else yet, and only then reaped.
std::optional<ExitStatus> collect(pid_t pid, bool block) {
  siginfo_t info{};
  int result = 0;
  do {
    info.si_pid = 0;
    result = ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT | (block ? 0 : WNOHANG));
  } while (result != 0 && errno == EINTR);
  if (result != 0) {
    // Somebody else reaped it (SIGCHLD ignored): it is gone, and how it ended is lost.
    if (errno == ECHILD) throw Error(Code::kInternal, "the child process was reaped elsewhere; do not ignore SIGCHLD");
    fail_errno("waiting for a child process", "");
  }
  if (info.si_pid == 0) return std::nullopt;
  ::kill(-pid, SIGKILL);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) fail_errno("waiting for a child process", "");
  }
  return WIFSIGNALED(status) ? ExitStatus{.signal = WTERMSIG(status)} : ExitStatus{.status = WEXITSTATUS(status)};
}

// Waits until the child has ended or the time has passed.
std::optional<ExitStatus> collect_until(pid_t pid, Clock::time_point deadline) {
  for (auto pause = std::chrono::milliseconds(1);; pause = std::min(pause * 2, std::chrono::milliseconds(20))) {
    if (auto ended = collect(pid, false)) return ended;
    if (Clock::now() >= deadline) return std::nullopt;
    std::this_thread::sleep_for(pause);
  }
}

// Fields of /proc/PID/stat after the program's name, which may itself hold spaces and brackets:
// [0] is field 3, the state. Empty if there is no such process.
std::vector<std::string> process_stat(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text((std::istreambuf_iterator<char>(file)), {});
  const size_t bracket = text.rfind(')');
  if (bracket == std::string::npos) return {};
  std::istringstream rest(text.substr(bracket + 1));
  return {std::istream_iterator<std::string>(rest), {}};
}

// Writing to a child that has closed its input must be an errno, not the end of this program.
class SigpipeBlocked {
 public:
  SigpipeBlocked() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~SigpipeBlocked() {
    const timespec none{};
    while (!was_pending_ && sigtimedwait(&pipe_, nullptr, &none) < 0 && errno == EINTR) {
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  SigpipeBlocked(const SigpipeBlocked&) = delete;
  SigpipeBlocked& operator=(const SigpipeBlocked&) = delete;

 private:
  sigset_t pipe_, before_;
  bool was_pending_ = false;
};

// The ends of the pipes that run_process keeps.
struct Exchange {
  FileDescriptor in, out, err;
  std::string_view input;
  Output result;

  void close_input_when_done() {
    if (input.empty()) in.reset();
  }
  void send() {
    const ssize_t sent = ::write(in.get(), input.data(), input.size());
    if (sent > 0) input.remove_prefix(static_cast<size_t>(sent));
    // EPIPE: the child does not want the rest; its exit status tells whether that is a fault.
    if (sent < 0 && errno != EAGAIN && errno != EINTR) input = {};
    close_input_when_done();
  }
  static void receive(FileDescriptor& from, std::string& into) {
    char piece[65536];
    for (;;) {
      const ssize_t got = ::read(from.get(), piece, sizeof piece);
      if (got > 0) {
        into.append(piece, static_cast<size_t>(got));
      } else if (got < 0 && errno == EINTR) {
        continue;
      } else {
        if (got == 0 || errno != EAGAIN) from.reset();
        return;
      }
    }
  }
  // Moves what can be moved now; waits at most `pause_ms` for something to move.
  void step(int pause_ms) {
    pollfd polled[3];
    FileDescriptor* ends[3] = {&in, &out, &err};
    for (int i = 0; i < 3; ++i) polled[i] = {ends[i]->get(), static_cast<short>(i == 0 ? POLLOUT : POLLIN), 0};
    if (::poll(polled, 3, pause_ms) <= 0) return;
    if (polled[0].revents != 0) send();
    if (polled[1].revents != 0) receive(out, result.out);
    if (polled[2].revents != 0) receive(err, result.err);
  }
};

std::string last_line(const std::string& text) {
  const size_t end = text.find_last_not_of(" \n\r\t");
  if (end == std::string::npos) return "";
  const size_t begin = text.find_last_of('\n', end);
  return text.substr(begin == std::string::npos ? 0 : begin + 1, end - (begin == std::string::npos ? -1 : begin));
}

}  // namespace

std::string ExitStatus::describe() const {
  if (signal == 0) return "exit status " + std::to_string(status);
  const char* name = ::sigabbrev_np(signal);
  std::string text = "killed by " + (name != nullptr ? "SIG" + std::string(name) : "signal " + std::to_string(signal));
  if (signal == SIGKILL) text += " (out of memory, or by hand)";
  if (signal == SIGSEGV || signal == SIGBUS || signal == SIGABRT || signal == SIGFPE || signal == SIGILL) {
    text += " (a crash)";
  }
  return text;
}

Process Process::start(const ProcessOptions& options) {
  reap_released();
  return Process(spawn(options, {}));
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), ended_(std::exchange(other.ended_, std::nullopt)) {}

Process& Process::operator=(Process&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(ended_, other.ended_);
  return *this;
}

Process::~Process() {
  if (pid_ <= 0 || ended_) return;
  ::kill(-pid_, SIGKILL);
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
}

std::optional<ExitStatus> Process::poll() {
  if (!ended_) ended_ = collect(pid_, false);
  return ended_;
}

ExitStatus Process::wait() {
  if (!ended_) ended_ = collect(pid_, true);
  return *ended_;
}

void Process::signal(int number) {
  if (ended_ || pid_ <= 0) return;
  if (::kill(-pid_, number) != 0 && errno != ESRCH) fail_errno("sending a signal to a child process", "");
}

ExitStatus Process::stop(std::chrono::milliseconds grace) {
  if (ended_) return *ended_;
  signal(SIGTERM);
  // A stopped child cannot act on SIGTERM.
  signal(SIGCONT);
  ended_ = collect_until(pid_, Clock::now() + grace);
  if (!ended_) {
    signal(SIGKILL);
    ended_ = collect(pid_, true);
  }
  return *ended_;
}

pid_t Process::release() {
  if (pid_ > 0 && !ended_) {
    const std::lock_guard lock(released_mutex);
    released.push_back(pid_);
  }
  ended_.reset();
  return std::exchange(pid_, -1);
}

Output run_process(const ProcessOptions& options, const std::string& input, std::chrono::milliseconds limit) {
  const auto deadline = Clock::now() + limit;
  auto [in_read, in_write] = make_pipe();
  auto [out_read, out_write] = make_pipe();
  auto [err_read, err_write] = make_pipe();
  pid_t pid = spawn(options, {in_read.get(), out_write.get(), err_write.get()});
  in_read.reset();
  out_write.reset();
  err_write.reset();
  // Should anything below throw: no child may stay.
  struct Guard {
    pid_t pid;
    ~Guard() {
      if (pid <= 0) return;
      ::kill(-pid, SIGKILL);
      while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
      }
    }
  } guard{pid};
  const SigpipeBlocked no_sigpipe;
  Exchange exchange{std::move(in_write), std::move(out_read), std::move(err_read), input, {}};
  for (const FileDescriptor* end : {&exchange.in, &exchange.out, &exchange.err}) {
    if (::fcntl(end->get(), F_SETFL, O_NONBLOCK) != 0) fail_errno("preparing a pipe", "");
  }
  exchange.close_input_when_done();
  std::optional<ExitStatus> ended;
  for (int pause_ms = 1;; pause_ms = std::min(pause_ms * 2, 20)) {
    exchange.step(pause_ms);
    // The end of the child counts, not that of its pipes: a daemon that it left behind may hold these.
    ended = collect(pid, false);
    if (ended) break;
    if (Clock::now() >= deadline) break;
  }
  if (!ended) {
    throw Error(Code::kDeadlineExceeded,
                options.argv[0] + " did not end within " + std::to_string(limit.count()) + " ms and was killed" +
                    (exchange.result.err.empty() ? "" : "; its last words: " + last_line(exchange.result.err)));
  }
  guard.pid = -1;
  exchange.in.reset();
  if (exchange.out.get() >= 0) Exchange::receive(exchange.out, exchange.result.out);
  if (exchange.err.get() >= 0) Exchange::receive(exchange.err, exchange.result.err);
  exchange.result.exit = *ended;
  return std::move(exchange.result);
}

uint64_t process_start_ticks(pid_t pid) {
  const std::vector<std::string> fields = process_stat(pid);
  constexpr size_t kStartTime = 22 - 3;
  return fields.size() > kStartTime ? std::strtoull(fields[kStartTime].c_str(), nullptr, 10) : 0;
}

bool process_alive(pid_t pid, uint64_t start_ticks) {
  const std::vector<std::string> fields = process_stat(pid);
  // A zombie has ended; only its parent has not asked yet.
  if (fields.empty() || fields[0] == "Z" || fields[0] == "X") return false;
  return start_ticks != 0 && process_start_ticks(pid) == start_ticks;
}

std::filesystem::path executable_folder() {
  std::error_code fault;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", fault);
  if (fault) {
    errno = fault.value();
    fail_errno("finding the running program", "/proc/self/exe");
  }
  return path.parent_path();
}

}  // namespace masbak::base

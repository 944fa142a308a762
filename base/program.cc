#include "base/program.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <iostream>

#include "base/error.h"
#include "base/log.h"

namespace masbak::base {
namespace {

std::atomic<bool> stop_flag{false};
static_assert(std::atomic<bool>::is_always_lock_free, "the signal handler may only touch a lock-free flag");

void on_stop_signal(int) { stop_flag.store(true); }

int report(const Error& error) {
  std::cout.flush();
  std::fprintf(stderr, "error: %s\n", error.describe().c_str());
  std::fflush(stderr);
  return error.exit_status();
}

// Output that never arrived (a full disk, a closed pipe) is a failure of the program, not a success.
void check_standard_output() {
  errno = 0;
  const bool stream_failed = !std::cout.flush();
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0 || stream_failed) {
    if (errno != 0) fail_errno("writing the result", "standard output");
    throw Error(Code::kUnavailable, "the result could not be written; check where it was sent",
                {.file = "standard output"});
  }
}

}  // namespace

int run_program(const std::string& name, const std::function<int()>& work) {
  std::signal(SIGPIPE, SIG_IGN);
  start_logging(name);
  try {
    const int status = work();
    check_standard_output();
    return status;
  } catch (const Error& error) {
    return report(error);
  } catch (const std::exception& exception) {
    return report(Error(Code::kInternal, std::string("unexpected fault in ") + name + ": " + exception.what() +
                                             "; please report it with the command that led to it"));
  } catch (...) {
    return report(Error(Code::kInternal, "unexpected fault of an unknown type in " + name +
                                             "; please report it with the command that led to it"));
  }
}

void install_stop_signals() {
  struct sigaction action {};
  action.sa_handler = on_stop_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = 0;  // no SA_RESTART: a blocking call returns, and its loop sees the flag
  for (const int number : {SIGINT, SIGTERM}) {
    if (sigaction(number, &action, nullptr) != 0) fail_errno("installing a signal handler", "");
  }
}

bool stop_requested() { return stop_flag.load(); }
void request_stop() { stop_flag.store(true); }

}  // namespace masbak::base

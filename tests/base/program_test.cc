#include "base/program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <regex>
#include <stdexcept>
#include <string>

#include "base/durable_file.h"
#include "base/error.h"
#include "base/log.h"
#include "base/time.h"
#include "tests/base/temporary_folder.h"

namespace masbak::base {
namespace {

struct Ended {
  int status;
  std::string err;
};

// Runs `work` as a program in a child, so that its standard streams, signals and exit are its own.
Ended run_in_child(const std::function<int()>& work, const std::string& stdout_file = "/dev/null") {
  const TemporaryFolder folder;
  const std::string err = folder / "err";
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::dup2(::open(err.c_str(), O_WRONLY | O_CREAT, 0600), 2);
    ::dup2(::open(stdout_file.c_str(), O_WRONLY), 1);
    ::_exit(run_program("masbak-test", work));
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_file(err)};
}

TEST(RunProgram, ReturnsTheStatusOfTheWork) {
  EXPECT_EQ(run_in_child([] { return 0; }).status, 0);
  EXPECT_EQ(run_in_child([] { return 7; }).status, 7);
}

TEST(RunProgram, TurnsAnErrorIntoOneLineAndItsStatus) {
  const Ended bad = run_in_child([]() -> int { fail_input("expected a\nnumber", {"run.yaml", 3, "seed"}); });
  EXPECT_EQ(bad.status, 2);
  EXPECT_EQ(bad.err, "error: INVALID_ARGUMENT: expected a number (run.yaml:3, seed)\n");
  const Ended fault = run_in_child([]() -> int { throw Error(Code::kUnavailable, "gone"); });
  EXPECT_EQ(fault.status, 1);
  EXPECT_EQ(fault.err, "error: UNAVAILABLE: gone\n");
}

TEST(RunProgram, TurnsAnythingElseIntoInternal) {
  const Ended standard = run_in_child([]() -> int { throw std::out_of_range("vector::at"); });
  EXPECT_EQ(standard.status, 1);
  EXPECT_TRUE(standard.err.starts_with("error: INTERNAL: ")) << standard.err;
  EXPECT_NE(standard.err.find("vector::at"), std::string::npos);
  const Ended strange = run_in_child([]() -> int { throw 42; });
  EXPECT_EQ(strange.status, 1);
  EXPECT_TRUE(strange.err.starts_with("error: INTERNAL: ")) << strange.err;
}

TEST(RunProgram, FailsWhenItsResultCannotBeWritten) {
  const auto print = [] {
    std::cout << "result" << std::endl;
    return 0;
  };
  const Ended full = run_in_child(print, "/dev/full");
  EXPECT_EQ(full.status, 1);
  EXPECT_NE(full.err.find("standard output"), std::string::npos) << full.err;
  EXPECT_EQ(run_in_child(print).status, 0);
}

TEST(StopSignals, SetTheFlagAndInterruptASleep) {
  const Ended ended = run_in_child([] {
    install_stop_signals();
    if (stop_requested()) return 1;
    const pid_t self = ::getpid();
    if (::fork() == 0) {
      ::usleep(100'000);
      ::kill(self, SIGTERM);
      ::_exit(0);
    }
    const unsigned left_s = ::sleep(30);
    return stop_requested() && left_s > 0 ? 0 : 2;
  });
  EXPECT_EQ(ended.status, 0);
}

TEST(StopSignals, CanBeRequestedFromInside) {
  const Ended ended = run_in_child([] {
    request_stop();
    return stop_requested() ? 0 : 1;
  });
  EXPECT_EQ(ended.status, 0);
}

TEST(Log, WritesTimeLevelComponentAndMessageInOneLine) {
  const Ended ended = run_in_child([] {
    log_debug("hidden");
    log_info("first\nsecond");
    log_warn("careful {}");
    return 0;
  });
  const std::string time = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z";
  EXPECT_TRUE(std::regex_match(
      ended.err, std::regex(time + " info masbak-test: first second\n" + time + " warn masbak-test: careful \\{\\}\n")))
      << ended.err;
}

TEST(Log, TakesItsLevelFromTheEnvironment) {
  const auto lines = [](const char* level) {
    return run_in_child([level] {
             ::setenv("MASBAK_LOG", level, 1);
             start_logging("c");
             log_debug("d");
             log_info("i");
             log_error("e");
             return 0;
           })
        .err;
  };
  EXPECT_NE(lines("debug").find("debug c: d\n"), std::string::npos);
  EXPECT_EQ(lines("error").find("info c: i"), std::string::npos);
  EXPECT_NE(lines("error").find("error c: e\n"), std::string::npos);
  EXPECT_NE(lines("loud").find("none of debug, info, warn, error"), std::string::npos);
}

TEST(Rfc3339, IsUtcWithMicroseconds) {
  using std::chrono::microseconds;
  const std::chrono::system_clock::time_point epoch{};
  EXPECT_EQ(rfc3339(epoch), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(rfc3339(epoch + microseconds(1'777'629'600'000'001)), "2026-05-01T10:00:00.000001Z");
  EXPECT_EQ(rfc3339(epoch - microseconds(1)), "1969-12-31T23:59:59.999999Z");
  EXPECT_TRUE(std::regex_match(now_rfc3339(), std::regex("20[0-9]{2}-.*T.*\\.[0-9]{6}Z")));
}

}  // namespace
}  // namespace masbak::base

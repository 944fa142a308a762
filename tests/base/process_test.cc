#include "base/process.h"

#include <gtest/gtest.h>
#include <pwd.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <sstream>
#include <string>
#include <thread>

#include "base/durable_file.h"
#include "tests/base/temporary_folder.h"
#include "tests/base/thrown.h"

namespace masbak::base {
namespace {

using std::chrono::milliseconds;

ProcessOptions shell(const std::string& script) { return {.argv = {"sh", "-c", script}}; }

// Waits for what another process brings about.
template <typename Condition>
bool soon(Condition condition) {
  for (int i = 0; i < 500; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(milliseconds(10));
  }
  return false;
}

bool no_children_left() { return ::waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD; }

TEST(RunProcess, GivesOutputErrorsAndStatus) {
  const Output output = run_process(shell("echo out; echo err >&2; exit 3"));
  EXPECT_EQ(output.out, "out\n");
  EXPECT_EQ(output.err, "err\n");
  EXPECT_EQ(output.exit.status, 3);
  EXPECT_FALSE(output.exit.ok());
  EXPECT_EQ(output.exit.describe(), "exit status 3");
}

TEST(RunProcess, MovesMoreThanAPipeHoldsBothWays) {
  const std::string input(3'000'000, 'x');
  EXPECT_EQ(run_process({.argv = {"cat"}}, input).out, input);
  EXPECT_TRUE(run_process({.argv = {"true"}}, input).exit.ok());  // closes its input: no SIGPIPE here
  EXPECT_EQ(run_process({.argv = {"cat"}}).out, "");
}

TEST(RunProcess, ReportsADeathBySignal) {
  const Output killed = run_process(shell("kill -9 $$"));
  EXPECT_EQ(killed.exit.signal, SIGKILL);
  EXPECT_EQ(killed.exit.describe(), "killed by SIGKILL (out of memory, or by hand)");
  EXPECT_EQ(run_process(shell("kill -SEGV $$")).exit.describe(), "killed by SIGSEGV (a crash)");
  EXPECT_TRUE(no_children_left());
}

TEST(RunProcess, KillsTheGroupAtItsLimit) {
  const TemporaryFolder folder;
  ProcessOptions options = shell("echo starting >&2; sleep 100 & echo $! > pid; wait");
  options.working_directory = folder.path();
  const auto start = std::chrono::steady_clock::now();
  const Error error = thrown([&] { run_process(options, "", milliseconds(300)); });
  EXPECT_EQ(error.code(), Code::kDeadlineExceeded);
  EXPECT_NE(error.describe().find("last words: starting"), std::string::npos) << error.describe();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
  const pid_t grandchild = std::stoi(read_file(folder / "pid"));
  EXPECT_TRUE(soon([&] { return !process_alive(grandchild, process_start_ticks(grandchild)); }));
  EXPECT_TRUE(no_children_left());
}

TEST(RunProcess, DoesNotWaitForWhatADaemonHoldsOpen) {
  const auto start = std::chrono::steady_clock::now();
  const Output output = run_process(shell("setsid sleep 20 & echo $!"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
  ::kill(std::stoi(output.out), SIGKILL);
}

TEST(Process, ReportsAMissingProgramAtTheStart) {
  EXPECT_EQ(thrown([] { Process::start({.argv = {"/no/such/program"}}); }).code(), Code::kNotFound);
  const Error unknown = thrown([] { Process::start({.argv = {"masbak-no-such-program"}}); });
  EXPECT_EQ(unknown.code(), Code::kNotFound);
  EXPECT_NE(unknown.describe().find("masbak-no-such-program"), std::string::npos);
  EXPECT_EQ(thrown([] { Process::start({.argv = {"/etc/passwd"}}); }).code(), Code::kPermissionDenied);
  EXPECT_EQ(thrown([] { Process::start({}); }).code(), Code::kInvalidArgument);
  ProcessOptions nowhere = shell("true");
  nowhere.working_directory = "/no/such/folder";
  const Error folder = thrown([&] { Process::start(nowhere); });
  EXPECT_EQ(folder.code(), Code::kNotFound);
  EXPECT_EQ(folder.where().file, "/no/such/folder");
  EXPECT_TRUE(no_children_left());
}

TEST(Process, PassesEnvironmentFolderAndFiles) {
  const TemporaryFolder folder;
  ProcessOptions options = shell("echo $MASBAK_TEST_VALUE; pwd -P >&2; cat");
  options.env["MASBAK_TEST_VALUE"] = "two words";
  options.working_directory = folder.path();
  options.stdout_file = folder / "out.log";
  options.stderr_file = folder / "err.log";
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(Process::start(options).wait().ok());
  EXPECT_EQ(read_file(folder / "out.log"), "two words\ntwo words\n");
  const std::string path = std::filesystem::canonical(folder.path()).string() + "\n";
  EXPECT_EQ(read_file(folder / "err.log"), path + path);
}

TEST(Process, InheritsNoFileDescriptorsIgnoredSignalsOrMasks) {
  const int open_without_cloexec = ::dup(1);
  ASSERT_GE(open_without_cloexec, 3);
  auto* before = ::signal(SIGPIPE, SIG_IGN);
  const Output output =
      run_process({.argv = {"sh", "-c", "ls /proc/self/fd | wc -l; grep -E 'SigBlk|SigIgn' /proc/self/status"}});
  ::signal(SIGPIPE, before);
  ::close(open_without_cloexec);
  std::istringstream lines(output.out);
  std::string blocked_name, ignored_name;
  int files = 0;
  uint64_t blocked = 1, ignored = 1;
  lines >> files >> blocked_name >> std::hex >> blocked >> ignored_name >> ignored;
  ASSERT_TRUE(lines) << output.out;
  EXPECT_EQ(files, 4) << "ls itself opens the folder: 0, 1, 2 and one more";
  EXPECT_EQ(blocked, 0U);
  // Signals 32 and 33 are glibc's own: posix_spawn, by which make starts a test, ignores them for its child.
  EXPECT_EQ(ignored & ~(uint64_t{3} << 31), 0U) << output.out;
}

TEST(Process, PollsWithoutBlockingAndRemembersTheEnd) {
  Process process = Process::start(shell("sleep 0.2; exit 7"));
  EXPECT_FALSE(process.poll().has_value());
  EXPECT_EQ(process.wait().status, 7);
  EXPECT_EQ(process.poll()->status, 7);
  EXPECT_EQ(process.stop(milliseconds(10)).status, 7);
  process.signal(SIGTERM);  // to nobody
  EXPECT_TRUE(no_children_left());
}

TEST(Process, StopsKindlyFirstAndByForceAfterTheGracePeriod) {
  Process kind = Process::start(shell("trap 'exit 5' TERM; while :; do sleep 0.05; done"));
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_EQ(kind.stop(std::chrono::seconds(10)).status, 5);
  Process stubborn = Process::start(shell("trap '' TERM; while :; do sleep 0.05; done"));
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_EQ(stubborn.stop(milliseconds(200)).signal, SIGKILL);
  EXPECT_TRUE(no_children_left());
}

TEST(Process, TheDestructorEndsTheWholeGroup) {
  const TemporaryFolder folder;
  pid_t child = 0, grandchild = 0;
  {
    ProcessOptions options = shell("sleep 100 & echo $! > pid.new; mv pid.new pid; wait");
    options.working_directory = folder.path();
    const Process process = Process::start(options);
    child = process.pid();
    ASSERT_TRUE(soon([&] { return std::filesystem::exists(folder / "pid"); }));
    grandchild = std::stoi(read_file(folder / "pid"));
    EXPECT_TRUE(process_alive(grandchild, process_start_ticks(grandchild)));
  }
  EXPECT_EQ(::kill(child, 0), -1);
  EXPECT_TRUE(soon([&] { return !process_alive(grandchild, process_start_ticks(grandchild)); }));
  EXPECT_TRUE(no_children_left());
}

TEST(Process, AReleasedChildGoesOnAndIsReapedLater) {
  pid_t pid = 0;
  {
    Process process = Process::start(shell("sleep 0.3"));
    pid = process.release();
  }
  const uint64_t ticks = process_start_ticks(pid);
  EXPECT_TRUE(process_alive(pid, ticks));
  EXPECT_TRUE(soon([&] { return !process_alive(pid, ticks); }));
  EXPECT_TRUE(Process::start(shell("true")).wait().ok());  // starting another clears the zombie away
  EXPECT_TRUE(no_children_left());
}

TEST(Process, MovesItsChild) {
  Process first = Process::start(shell("exit 4"));
  Process second = std::move(first);
  EXPECT_EQ(second.wait().status, 4);
  second = Process::start(shell("exit 6"));
  EXPECT_EQ(second.wait().status, 6);
  EXPECT_TRUE(no_children_left());
}

TEST(Process, OutlivesTheThreadThatStartedIt) {
  std::optional<Process> process;
  std::thread([&] { process.emplace(Process::start(shell("sleep 0.3; exit 9"))); }).join();
  // The kernel ties a child to the thread that forked it: had that been the one above, this were SIGKILL.
  EXPECT_EQ(process->wait().describe(), "exit status 9");
}

TEST(Process, DiesWithItsParent) {
  const TemporaryFolder folder;
  const pid_t parent = ::fork();
  ASSERT_GE(parent, 0);
  if (parent == 0) {
    Process child = Process::start({.argv = {"sleep", "100"}});
    write_file_durably(folder / "pid", std::to_string(child.pid()));
    ::pause();
    ::_exit(0);
  }
  ASSERT_TRUE(soon([&] { return std::filesystem::exists(folder / "pid"); }));
  const pid_t child = std::stoi(read_file(folder / "pid"));
  const uint64_t ticks = process_start_ticks(child);
  EXPECT_TRUE(process_alive(child, ticks));
  ::kill(parent, SIGKILL);
  ::waitpid(parent, nullptr, 0);
  EXPECT_TRUE(soon([&] { return !process_alive(child, ticks); }));
}

TEST(Process, LeadsItsOwnGroupOrSession) {
  Process group = Process::start({.argv = {"sleep", "100"}});
  EXPECT_EQ(::getpgid(group.pid()), group.pid());
  EXPECT_EQ(::getsid(group.pid()), ::getsid(0));
  Process session = Process::start({.argv = {"sleep", "100"}, .new_session = true});
  EXPECT_EQ(::getsid(session.pid()), session.pid());
}

TEST(Process, LimitsTheAddressSpace) {
  ProcessOptions options = shell("ulimit -v");
  options.address_space_bytes = 512ULL << 20;
  EXPECT_EQ(run_process(options).out, std::to_string(512 << 10) + "\n");
}

TEST(Process, StartsAsAnotherUser) {
  ProcessOptions options = shell("id -un; id -Gn; echo $HOME; kill -0 $PPID 2>/dev/null || echo powerless");
  options.user = "nobody";
  if (::geteuid() != 0) GTEST_SKIP() << "becoming another user needs root";
  if (::getpwnam("nobody") == nullptr) GTEST_SKIP() << "this machine has no user nobody";
  const Output output = run_process(options);
  ASSERT_TRUE(output.exit.ok()) << output.err;
  EXPECT_EQ(output.out, "nobody\nnogroup\n" + std::string(::getpwnam("nobody")->pw_dir) + "\npowerless\n");
  options.user = "masbak-no-such-user";
  EXPECT_EQ(thrown([&] { run_process(options); }).code(), Code::kNotFound);
}

TEST(ProcessAlive, TellsAReusedNumberAndAZombieFromALivingProcess) {
  const uint64_t ticks = process_start_ticks(::getpid());
  EXPECT_GT(ticks, 0u);
  EXPECT_TRUE(process_alive(::getpid(), ticks));
  EXPECT_FALSE(process_alive(::getpid(), ticks + 1));
  EXPECT_FALSE(process_alive(::getpid(), 0));
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  const uint64_t child_ticks = process_start_ticks(child);
  EXPECT_TRUE(soon([&] { return !process_alive(child, child_ticks); }));
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(process_start_ticks(child), 0u);
}

TEST(ExecutableFolder, IsWhereThisTestLies) {
  EXPECT_TRUE(std::filesystem::exists(executable_folder() / "base.process"));
}

}  // namespace
}  // namespace masbak::base

#include "base/process_spawn.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <mutex>
#include <thread>

#include "base/error.h"

extern char** environ;

namespace masbak::base {
namespace {

// What the child was doing when it failed before exec; sent through the pipe with errno.
enum class Stage : int { kStreams, kSession, kLimit, kUser, kFolder, kParent, kExec };

struct Failure {
  Stage stage;
  int number;
};

struct User {
  uid_t uid;
  gid_t gid;
  std::vector<gid_t> groups;
  std::string name, home;
};

// Everything the child needs, made before the fork: afterwards only async-signal-safe calls are allowed,
// since another thread may have held any lock at the moment of the fork.
struct Plan {
  std::string program;
  std::vector<std::string> arguments, environment;
  std::vector<char*> argv, envp;
  std::string folder;
  std::optional<User> user;
  rlim_t address_space = 0;
  bool new_session = false, die_with_parent = false;
  pid_t parent = 0;
  int in = -1, out = -1, err = -1, report = -1;
};

User find_user(const std::string& name) {
  std::vector<char> buffer(16384);
  passwd entry{};
  passwd* found = nullptr;
  const int fault = ::getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (fault != 0) {
    errno = fault;
    fail_errno("looking up the user " + name, "");
  }
  if (found == nullptr) {
    throw Error(Code::kNotFound, "expected a user named \"" + name + "\" on this machine, found none; create it");
  }
  User user{entry.pw_uid, entry.pw_gid, std::vector<gid_t>(64), name, entry.pw_dir};
  int count = static_cast<int>(user.groups.size());
  if (::getgrouplist(name.c_str(), user.gid, user.groups.data(), &count) < 0) {
    user.groups.resize(static_cast<size_t>(count));
    if (::getgrouplist(name.c_str(), user.gid, user.groups.data(), &count) < 0) {
      throw Error(Code::kInternal, "the groups of the user \"" + name + "\" changed while they were read; try again");
    }
  }
  user.groups.resize(static_cast<size_t>(count));
  return user;
}

std::map<std::string, std::string> child_environment(const ProcessOptions& options, const std::optional<User>& user) {
  std::map<std::string, std::string> variables;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const size_t equals = text.find('=');
    if (equals != std::string_view::npos) variables[std::string(text.substr(0, equals))] = text.substr(equals + 1);
  }
  if (user) {
    variables["HOME"] = user->home;
    variables["USER"] = variables["LOGNAME"] = user->name;
  }
  for (const auto& [name, value] : options.env) variables[name] = value;
  return variables;
}

std::string find_program(const std::string& name, const std::string& search_path) {
  if (name.empty()) fail_input("expected the name of a program to start, found an empty text");
  if (name.find('/') != std::string::npos) return name;
  bool forbidden = false;
  for (size_t begin = 0; begin <= search_path.size();) {
    const size_t end = std::min(search_path.find(':', begin), search_path.size());
    const std::string folder = search_path.substr(begin, end - begin);
    std::string candidate = (folder.empty() ? "." : folder) + "/" + name;
    std::error_code ignored;
    if (std::filesystem::is_regular_file(candidate, ignored)) {
      if (::access(candidate.c_str(), X_OK) == 0) return candidate;
      forbidden = true;
    }
    begin = end + 1;
  }
  if (forbidden) {
    throw Error(Code::kPermissionDenied, "the program " + name + " may not be executed; check its permissions");
  }
  throw Error(Code::kNotFound, "expected the program " + name +
                                   " in one of the folders of PATH, found it in none; "
                                   "install it or add its folder to PATH");
}

FileDescriptor open_output(const std::filesystem::path& file) {
  const int fd = ::open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) fail_errno("opening a log of a child process", file.string());
  return FileDescriptor(fd);
}

// ---- in the child, between fork and exec ----

[[noreturn]] void give_up(const Plan& plan, Stage stage) {
  const Failure failure{stage, errno};
  // A pipe takes this little at once; if even that fails, the exit status has to do.
  if (::write(plan.report, &failure, sizeof failure) != static_cast<ssize_t>(sizeof failure)) ::_exit(126);
  ::_exit(127);
}

void close_others_on_exec() {
#ifdef SYS_close_range
  constexpr unsigned int kCloseOnExec = 4;
  if (::syscall(SYS_close_range, 3U, ~0U, kCloseOnExec) == 0) return;
#endif
  for (int fd = 3; fd < 4096; ++fd) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
}

// Puts `fd` in the place of a standard stream, without close-on-exec.
bool install(int fd, int place) {
  if (fd < 0) return true;
  if (fd != place) return ::dup2(fd, place) == place;
  return ::fcntl(fd, F_SETFD, 0) == 0;
}

void reset_signals() {
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) ::sigaction(number, &standard, nullptr);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

[[noreturn]] void become_program(const Plan& plan) {
  reset_signals();
  if (plan.new_session ? ::setsid() < 0 : ::setpgid(0, 0) != 0) give_up(plan, Stage::kSession);
  if (!install(plan.in, 0) || !install(plan.out, 1) || !install(plan.err, 2)) give_up(plan, Stage::kStreams);
  if (plan.address_space != 0) {
    const rlimit limit{plan.address_space, plan.address_space};
    if (::setrlimit(RLIMIT_AS, &limit) != 0) give_up(plan, Stage::kLimit);
  }
  if (plan.user && (::setgroups(plan.user->groups.size(), plan.user->groups.data()) != 0 ||
                    ::setgid(plan.user->gid) != 0 || ::setuid(plan.user->uid) != 0)) {
    give_up(plan, Stage::kUser);
  }
  if (!plan.folder.empty() && ::chdir(plan.folder.c_str()) != 0) give_up(plan, Stage::kFolder);
  // After setuid, which clears it; and the parent may have died before.
  if (plan.die_with_parent) {
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) give_up(plan, Stage::kParent);
    if (::getppid() != plan.parent) ::_exit(127);
  }
  close_others_on_exec();
  ::execve(plan.program.c_str(), plan.argv.data(), plan.envp.data());
  give_up(plan, Stage::kExec);
}

// ---- in the parent ----

pid_t fork_quietly(const Plan& plan) {
  // Blocked across the fork: a handler of ours must not run in the child.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = ::fork();
  if (pid == 0) become_program(plan);
  const int fault = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = fault;
  return pid;
}

// The thread that forks what is to die with the process. It is never joined: it ends with the process.
class Spawner {
 public:
  Spawner() {
    std::thread([this] { serve(); }).detach();
  }

  pid_t fork(const Plan& plan) {
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [this] { return plan_ == nullptr; });
    plan_ = &plan;
    pid_.reset();
    const uint64_t ticket = ++asked_;
    changed_.notify_all();
    done_.wait(lock, [&] { return answered_ == ticket; });
    const pid_t pid = *pid_;
    const int fault = fault_;
    plan_ = nullptr;
    ready_.notify_one();
    errno = fault;
    return pid;
  }

 private:
  void serve() {
    // Signals are for the threads of the program, whose calls they are to interrupt.
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return answered_ != asked_; });
      errno = 0;
      pid_ = fork_quietly(*plan_);
      fault_ = errno;
      answered_ = asked_;
      done_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_, done_, ready_;
  const Plan* plan_ = nullptr;
  uint64_t asked_ = 0, answered_ = 0;
  std::optional<pid_t> pid_;
  int fault_ = 0;
};

// One for each process: after a fork without exec, the child has no such thread and gets a new one.
Spawner& spawner() {
  static std::mutex mutex;
  static Spawner* current = nullptr;
  static pid_t owner = 0;
  const std::lock_guard lock(mutex);
  if (owner != ::getpid()) {
    current = new Spawner;  // never deleted: its thread uses it until the process ends
    owner = ::getpid();
  }
  return *current;
}

[[noreturn]] void report_failure(const Failure& failure, const Plan& plan) {
  errno = failure.number;
  switch (failure.stage) {
    case Stage::kExec:
      if (failure.number == ENOENT || failure.number == ENOTDIR) {
        throw Error(Code::kNotFound,
                    "expected a program at this path, found none (or its interpreter is missing); "
                    "check the path",
                    {.file = plan.program});
      }
      fail_errno("starting the program", plan.program);
    case Stage::kFolder: fail_errno("changing to the working folder of " + plan.arguments[0], plan.folder);
    case Stage::kUser: fail_errno("becoming the user " + plan.user->name + " (this needs root)", plan.program);
    case Stage::kLimit: fail_errno("limiting the address space", plan.program);
    case Stage::kSession: fail_errno("making a process group", plan.program);
    case Stage::kStreams: fail_errno("connecting the standard streams", plan.program);
    case Stage::kParent: fail_errno("tying the child to its parent", plan.program);
  }
  throw Error(Code::kInternal, "a child process failed in an unknown stage", {.file = plan.program});
}

void prepare(const ProcessOptions& options, Plan& plan) {
  if (options.argv.empty()) fail_input("expected a program to start, found an empty argument list");
  if (!options.user.empty()) {
    User user = find_user(options.user);
    if (user.uid != ::geteuid()) plan.user = std::move(user);
  }
  const auto variables = child_environment(options, plan.user);
  const auto path = variables.find("PATH");
  plan.program = find_program(options.argv[0], path == variables.end() ? "/usr/local/bin:/usr/bin:/bin" : path->second);
  plan.arguments = options.argv;
  for (const auto& [name, value] : variables) plan.environment.push_back(name + "=" + value);
  for (std::string& argument : plan.arguments) plan.argv.push_back(argument.data());
  for (std::string& variable : plan.environment) plan.envp.push_back(variable.data());
  plan.argv.push_back(nullptr);
  plan.envp.push_back(nullptr);
  plan.folder = options.working_directory.string();
  plan.address_space = options.address_space_bytes;
  plan.new_session = options.new_session;
  plan.die_with_parent = options.die_with_parent;
  plan.parent = ::getpid();
}

}  // namespace

void FileDescriptor::reset() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

std::pair<FileDescriptor, FileDescriptor> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail_errno("making a pipe", "");
  return {FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

pid_t spawn(const ProcessOptions& options, StandardStreams streams) {
  Plan plan;
  prepare(options, plan);
  FileDescriptor null, out, err;
  if (streams.in < 0) {
    null = FileDescriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (null.get() < 0) fail_errno("opening the empty input", "/dev/null");
  }
  if (!options.stdout_file.empty()) out = open_output(options.stdout_file);
  if (!options.stderr_file.empty()) err = open_output(options.stderr_file);
  auto [report_read, report_write] = make_pipe();
  plan.in = streams.in < 0 ? null.get() : streams.in;
  plan.out = out.get() >= 0 ? out.get() : streams.out;
  plan.err = err.get() >= 0 ? err.get() : streams.err;
  plan.report = report_write.get();

  const pid_t pid = plan.die_with_parent ? spawner().fork(plan) : fork_quietly(plan);
  if (pid < 0) fail_errno("starting a process", plan.program);
  // Also here, so that the group exists when we return; after exec this fails, and is done already.
  if (!plan.new_session) ::setpgid(pid, pid);
  report_write.reset();
  Failure failure{};
  ssize_t got = 0;
  do {
    got = ::read(report_read.get(), &failure, sizeof failure);
  } while (got < 0 && errno == EINTR);
  if (got == static_cast<ssize_t>(sizeof failure)) {
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    report_failure(failure, plan);
  }
  return pid;
}

}  // namespace masbak::base

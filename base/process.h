// Child processes: started with limits, watched, ended with their whole group, never left as zombies.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace masbak::base {

struct ProcessOptions {
  std::vector<std::string> argv;            // argv[0] is searched in PATH unless it has a '/'
  std::map<std::string, std::string> env;   // added to the inherited environment
  std::filesystem::path working_directory;  // empty: inherited
  std::filesystem::path stdout_file;        // appended; empty: inherited
  std::filesystem::path stderr_file;        // appended; empty: inherited
  std::string user;                         // started as this user (needs root); empty: the same
  uint64_t address_space_bytes = 0;         // RLIMIT_AS, 0: no limit
  bool new_session = false;                 // setsid: outlives the parent's terminal
  bool die_with_parent = true;              // PR_SET_PDEATHSIG SIGKILL; false for what must go on
};

// How a process ended: by exit (status) or by a signal.
struct ExitStatus {
  int status = 0;
  int signal = 0;
  bool ok() const { return status == 0 && signal == 0; }
  std::string describe() const;  // "exit status 2", "killed by SIGKILL (out of memory, or by hand)"
};

// One child, leader of its own process group. The destructor kills the group and reaps it, unless
// release() was called. Not thread-safe.
class Process {
 public:
  // Throws NOT_FOUND if the program is missing, else what the system says.
  static Process start(const ProcessOptions& options);
  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;
  ~Process();

  pid_t pid() const { return pid_; }
  std::optional<ExitStatus> poll();  // reaps; nullopt while it runs
  ExitStatus wait();
  void signal(int number);  // to the whole group
  // SIGTERM, then SIGKILL after the grace period.
  ExitStatus stop(std::chrono::milliseconds grace);
  pid_t release();  // the child goes on without us

 private:
  explicit Process(pid_t pid) : pid_(pid) {}
  pid_t pid_ = -1;
  std::optional<ExitStatus> ended_;
};

struct Output {
  ExitStatus exit;
  std::string out, err;
};

// Runs to the end and returns what it printed. `input` is written to its standard input. At most
// `limit` long: then the group is killed and DEADLINE_EXCEEDED thrown.
Output run_process(const ProcessOptions& options, const std::string& input = "",
                   std::chrono::milliseconds limit = std::chrono::minutes(10));

// A process known by id from an earlier life of the program: alive, and started at the same time as
// then (field 22 of /proc/PID/stat), so that a reused id is not mistaken for it.
uint64_t process_start_ticks(pid_t pid);  // 0 if it does not exist
bool process_alive(pid_t pid, uint64_t start_ticks);

// The folder of the running executable: programs find each other beside themselves.
std::filesystem::path executable_folder();

}  // namespace masbak::base

#include "registry/server/postgres_server.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <optional>
#include <pqxx/pqxx>
#include <thread>

#include "base/durable_file.h"
#include "base/error.h"
#include "base/log.h"
#include "base/process.h"
#include "base/text.h"
#include "registry/server/cluster.h"

namespace masbak::registry {
namespace {

namespace fs = std::filesystem;
using base::Code;
using base::Error;
using Clock = std::chrono::steady_clock;

constexpr char kDatabase[] = "masbak";
constexpr auto kStep = std::chrono::milliseconds(30);

// Held as long as we look after the cluster, so that two programs never do at once.
class ClusterLock {
 public:
  explicit ClusterLock(const fs::path& data) {
    const fs::path file = data / "postgres.lock";
    fd_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd_ < 0) base::fail_errno("opening the lock", file.string());
    if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
      const int fault = errno;
      ::close(fd_);
      errno = fault;
      if (fault != EWOULDBLOCK) base::fail_errno("locking", file.string());
      throw Error(Code::kFailedPrecondition,
                  "another Masbak works in this data folder: stop it (masbak down), or choose another folder",
                  {.file = data.string()});
    }
  }
  ~ClusterLock() { ::close(fd_); }
  ClusterLock(const ClusterLock&) = delete;
  ClusterLock& operator=(const ClusterLock&) = delete;

 private:
  int fd_ = -1;
};

std::string make_url(const fs::path& sockets, const std::string& database) {
  std::string quoted;
  for (char c : sockets.string()) {
    if (c == '\\' || c == '\'') quoted += '\\';
    quoted += c;
  }
  return "host='" + quoted + "' user=masbak dbname=" + database + " connect_timeout=10 application_name=masbak";
}

// The last line that says what went wrong, among those written after `from`; else the last line.
std::string reason_in_log(const fs::path& log_file, uint64_t from) {
  std::ifstream log(log_file);
  log.seekg(static_cast<std::streamoff>(from));
  std::string last, worst;
  for (std::string line; std::getline(log, line);) {
    if (line.empty()) continue;
    last = line;
    if (line.find("FATAL:") != std::string::npos || line.find("PANIC:") != std::string::npos) worst = line;
  }
  const std::string reason = worst.empty() ? last : worst;
  return reason.empty() ? "its log says nothing" : base::with_valid_utf8(reason);
}

}  // namespace

struct PostgresServer::State {
  explicit State(const PostgresOptions& options)
      : options(options), cluster(locate_cluster(options)), lock(cluster.log_file.parent_path().parent_path()) {}
  ~State() {
    if (released || pid <= 0) return;
    try {
      stop(std::chrono::seconds(30));
    } catch (const std::exception& fault) {
      base::log_error(fault.what());
    }
    if (process) process->release();  // never SIGKILL for a database
  }

  void start();
  void launch();
  bool take_over();
  void wait_until_ready(uint64_t log_from);
  bool answers(std::string& why) const;
  void ensure_database() const;
  bool alive();
  bool wait_for_end(std::chrono::seconds limit);
  void stop(std::chrono::seconds grace);

  [[noreturn]] void fail_start(const std::string& why) const {
    throw Error(Code::kUnavailable, "PostgreSQL cannot be started: " + why, {.file = cluster.log_file.string()});
  }

  PostgresOptions options;
  Cluster cluster;
  ClusterLock lock;
  fs::path sockets;
  pid_t pid = 0;
  uint64_t start_ticks = 0;
  std::optional<base::Process> process;  // empty for a server that was taken over
  bool released = false;
};

void PostgresServer::State::start() {
  ensure_cluster(cluster, options.durable);
  if (!take_over()) {
    clear_stale_pid_file(cluster);
    launch();
  }
  ensure_database();
}

bool PostgresServer::State::take_over() {
  const std::optional<RunningServer> running = find_running_server(cluster);
  if (!running) return false;
  pid = running->pid;
  start_ticks = base::process_start_ticks(pid);
  sockets = running->sockets;
  // It may be starting still, or shutting down: then it ends, and a new one is launched.
  const Clock::time_point deadline = Clock::now() + options.patience;
  for (std::string why; !answers(why); std::this_thread::sleep_for(kStep)) {
    if (!alive()) {
      pid = 0;
      return false;
    }
    if (Clock::now() > deadline) {
      const pid_t found = pid;
      pid = 0;  // not ours to stop
      fail_start("process " + std::to_string(found) + " of an earlier start does not answer (" + why +
                 "): end it, then start again");
    }
  }
  base::log_info("took over the PostgreSQL server that runs as process " + std::to_string(pid));
  return true;
}

void PostgresServer::State::launch() {
  sockets = cluster.sockets;
  std::error_code ignored;
  const uint64_t log_from = fs::exists(cluster.log_file, ignored) ? fs::file_size(cluster.log_file) : 0;
  std::vector<std::string> argv = {(cluster.programs / "postgres").string(), "-D", cluster.folder.string()};
  const std::string quoted_sockets = "unix_socket_directories=" + sockets.string();
  for (const char* setting : {"listen_addresses=", quoted_sockets.c_str(), "unix_socket_permissions=0700", "port=5432",
                              "max_connections=60", "timezone=UTC", "log_timezone=UTC", "log_min_messages=warning"}) {
    argv.insert(argv.end(), {"-c", setting});
  }
  if (!options.durable) argv.insert(argv.end(), {"-c", "fsync=off", "-c", "full_page_writes=off"});
  process = base::Process::start({.argv = argv,
                                  .working_directory = "/",
                                  .stdout_file = cluster.log_file,
                                  .stderr_file = cluster.log_file,
                                  .user = cluster.user,
                                  // A terminal's Ctrl-C is ours to answer, and a database is not to be killed with us.
                                  .new_session = true,
                                  .die_with_parent = false});
  pid = process->pid();
  start_ticks = base::process_start_ticks(pid);
  wait_until_ready(log_from);
}

void PostgresServer::State::wait_until_ready(uint64_t log_from) {
  const Clock::time_point deadline = Clock::now() + options.patience;
  for (std::string why; !answers(why); std::this_thread::sleep_for(kStep)) {
    if (!alive()) fail_start(reason_in_log(cluster.log_file, log_from));
    if (Clock::now() > deadline) {
      fail_start("it does not answer after " + std::to_string(options.patience.count()) + " s (" + why + "); " +
                 reason_in_log(cluster.log_file, log_from));
    }
  }
}

bool PostgresServer::State::answers(std::string& why) const {
  try {
    pqxx::connection connection(make_url(sockets, "postgres"));
    pqxx::nontransaction(connection).exec("SELECT 1");
    return true;
  } catch (const pqxx::failure& fault) {
    why = fault.what();
    std::replace(why.begin(), why.end(), '\n', ' ');
    return false;
  }
}

void PostgresServer::State::ensure_database() const {
  try {
    pqxx::connection connection(make_url(sockets, "postgres"));
    pqxx::nontransaction work(connection);
    if (work.exec_params("SELECT 1 FROM pg_database WHERE datname = $1", kDatabase).empty()) {
      work.exec(std::string("CREATE DATABASE ") + kDatabase);
    }
  } catch (const pqxx::failure& fault) {
    fail_start(std::string("its database cannot be made: ") + fault.what());
  }
}

bool PostgresServer::State::alive() {
  if (pid <= 0) return false;
  if (process) return !process->poll().has_value();
  return base::process_alive(pid, start_ticks);
}

bool PostgresServer::State::wait_for_end(std::chrono::seconds limit) {
  for (const Clock::time_point deadline = Clock::now() + limit; alive(); std::this_thread::sleep_for(kStep)) {
    if (Clock::now() > deadline) return false;
  }
  return true;
}

void PostgresServer::State::stop(std::chrono::seconds grace) {
  // Only the server itself: its children are its own to end. SIGINT rolls open transactions back; SIGQUIT leaves
  // the rest to the recovery at the next start.
  for (const int number : {SIGINT, SIGQUIT}) {
    if (!alive()) break;
    ::kill(pid, number);
    if (wait_for_end(grace)) break;
  }
  if (alive()) {
    throw Error(Code::kDeadlineExceeded,
                "the PostgreSQL server, process " + std::to_string(pid) +
                    ", does not end: look at its log, then end it by hand",
                {.file = cluster.log_file.string()});
  }
  pid = 0;
}

PostgresServer::PostgresServer(std::unique_ptr<State> state) : state_(std::move(state)) {}
PostgresServer::PostgresServer(PostgresServer&&) noexcept = default;
PostgresServer::~PostgresServer() = default;

PostgresServer PostgresServer::start(const PostgresOptions& options) {
  auto state = std::make_unique<State>(options);
  state->start();
  return PostgresServer(std::move(state));
}

std::string PostgresServer::url() const { return make_url(state_->sockets, kDatabase); }
pid_t PostgresServer::pid() const { return state_->pid; }
fs::path PostgresServer::cluster() const { return state_->cluster.folder; }
fs::path PostgresServer::log_file() const { return state_->cluster.log_file; }
bool PostgresServer::running() const { return state_->alive(); }
void PostgresServer::stop(std::chrono::seconds grace) { state_->stop(grace); }

void PostgresServer::release() {
  if (state_->process) state_->process->release();
  state_->released = true;
}

}  // namespace masbak::registry

#include "registry/server/cluster.h"

#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iomanip>
#include <random>
#include <sstream>
#include <thread>
#include <vector>

#include "base/digest.h"
#include "base/durable_file.h"
#include "base/error.h"
#include "base/log.h"
#include "base/process.h"

namespace masbak::registry {
namespace {

namespace fs = std::filesystem;
using base::Code;
using base::Error;

bool has_programs(const fs::path& folder) {
  return ::access((folder / "initdb").c_str(), X_OK) == 0 && ::access((folder / "postgres").c_str(), X_OK) == 0;
}

fs::path find_programs(const fs::path& given) {
  if (!given.empty()) {
    if (has_programs(given)) return given;
    throw Error(Code::kNotFound, "expected initdb and postgres in this folder, found none", {.file = given.string()});
  }
  std::stringstream path(std::getenv("PATH") != nullptr ? std::getenv("PATH") : "");
  for (std::string folder; std::getline(path, folder, ':');) {
    if (!folder.empty() && has_programs(folder)) return folder;
  }
  // Debian keeps each major version's programs apart.
  std::vector<std::pair<int, fs::path>> versions;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/usr/lib/postgresql", ignored)) {
    if (has_programs(entry.path() / "bin")) {
      versions.emplace_back(std::atoi(entry.path().filename().c_str()), entry.path() / "bin");
    }
  }
  if (versions.empty()) {
    throw Error(
        Code::kNotFound,
        "expected PostgreSQL's initdb and postgres in PATH or below /usr/lib/postgresql, found neither: install "
        "it (Debian: postgresql), or give the address of a PostgreSQL server instead");
  }
  return std::max_element(versions.begin(), versions.end())->second;
}

passwd require_user(const std::string& name) {
  const passwd* found = ::getpwnam(name.c_str());
  if (found == nullptr) {
    throw Error(Code::kNotFound, "PostgreSQL refuses to run as root, and there is no user '" + name +
                                     "' to run it as: install PostgreSQL's package, or start Masbak as another user");
  }
  return *found;
}

// Asks as that user, since groups and access lists decide too.
bool can_reach(const std::string& user, const fs::path& folder) {
  return base::run_process({.argv = {"test", "-x", folder.string()}, .working_directory = "/", .user = user}).exit.ok();
}

void make_folder(const fs::path& folder, mode_t mode, const std::string& owner) {
  if (::mkdir(folder.c_str(), mode) != 0) {
    if (errno != EEXIST) base::fail_errno("creating the folder", folder.string());
    return;
  }
  if (!owner.empty()) {
    const passwd entry = require_user(owner);
    if (::chown(folder.c_str(), entry.pw_uid, entry.pw_gid) != 0) base::fail_errno("handing over", folder.string());
  }
  base::fsync_path(folder.parent_path());
}

std::string short_digest(const fs::path& path) { return base::digest_bytes(path.string()).substr(7, 16); }

// Where the link data/postgres leads; made if there is none. The name is random rather than the data folder's path,
// so that a data folder that was moved finds its database and a new one in an old place starts with an empty one.
fs::path linked_folder(const fs::path& link) {
  if (!fs::is_symlink(link)) {
    make_folder("/var/lib/masbak", 0755, "");
    std::random_device random;
    std::ostringstream name;
    name << "/var/lib/masbak/postgres-" << std::hex << std::setfill('0') << std::setw(8) << random() << std::setw(8)
         << random();
    fs::create_symlink(name.str(), link);
    base::fsync_path(link.parent_path());
  }
  return fs::read_symlink(link);
}

// A socket's name has at most 107 bytes (sun_path); the server appends "/.s.PGSQL.5432.lock".
constexpr size_t kLongestSocketFolder = 80;

// Private to the server's user, like the cluster, since whoever can connect is trusted.
fs::path socket_folder(const fs::path& cluster, const std::string& user) {
  if (cluster.string().size() <= kLongestSocketFolder) return cluster;
  const fs::path folder = "/tmp/masbak-" + short_digest(cluster);
  make_folder(folder, 0700, user);
  struct stat status {};
  const uid_t owner = user.empty() ? ::geteuid() : require_user(user).pw_uid;
  if (::lstat(folder.c_str(), &status) != 0) base::fail_errno("looking at the folder", folder.string());
  if (!S_ISDIR(status.st_mode) || status.st_uid != owner || (status.st_mode & 077) != 0) {
    throw Error(Code::kPermissionDenied,
                "expected a folder that belongs to the database's user alone, found one of somebody else: remove it",
                {.file = folder.string()});
  }
  return folder;
}

std::string major_version(const fs::path& programs) {
  const base::Output output =
      base::run_process({.argv = {(programs / "postgres").string(), "--version"}, .working_directory = "/"});
  // "postgres (PostgreSQL) 15.20 (Debian …)"
  const size_t at = output.out.find(") ");
  const size_t end = output.out.find_first_not_of("0123456789", at == std::string::npos ? 0 : at + 2);
  if (at == std::string::npos || end == at + 2) {
    throw Error(Code::kInternal, "expected the version of PostgreSQL, found '" + output.out + "'",
                {.file = (programs / "postgres").string()});
  }
  return output.out.substr(at + 2, end - at - 2);
}

std::string trimmed(std::string text) {
  text.erase(text.find_last_not_of(" \n\r\t") + 1);
  return text;
}

// Processes that work in the cluster: the server and its children change to that folder.
std::vector<pid_t> processes_in(const fs::path& folder) {
  std::vector<pid_t> found;
  std::error_code ignored;
  const fs::path canonical = fs::canonical(folder, ignored);
  for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    if (pid <= 0) continue;
    const fs::path where = fs::read_symlink(entry.path() / "cwd", ignored);
    if (!ignored && where == canonical) found.push_back(pid);
    ignored.clear();
  }
  return found;
}

}  // namespace

Cluster locate_cluster(const PostgresOptions& options) {
  Cluster cluster;
  cluster.programs = find_programs(options.programs);
  fs::create_directories(options.data);
  const fs::path data = fs::canonical(options.data);
  cluster.folder = data / "postgres";
  cluster.log_file = data / "log" / "postgres.log";
  fs::create_directories(cluster.log_file.parent_path());
  if (::geteuid() == 0) {
    require_user(options.user);
    cluster.user = options.user;
    if (!can_reach(cluster.user, data)) {
      cluster.folder = linked_folder(cluster.folder);
    }
  }
  cluster.sockets = socket_folder(cluster.folder, cluster.user);
  return cluster;
}

void ensure_cluster(const Cluster& cluster, bool durable) {
  const std::string version = major_version(cluster.programs);
  if (fs::exists(cluster.folder / "PG_VERSION")) {
    const std::string found = trimmed(base::read_file(cluster.folder / "PG_VERSION"));
    if (found != version) {
      throw Error(Code::kFailedPrecondition,
                  "the database was made by PostgreSQL " + found + ", the one installed is " + version + ": install " +
                      found + " too, or move the database with pg_upgrade",
                  {.file = cluster.folder.string()});
    }
    return;
  }
  // Made beside its place and renamed, so that a half-made one is never taken for whole.
  const fs::path unfinished = cluster.folder.string() + ".unfinished";
  fs::remove_all(unfinished);
  make_folder(unfinished, 0700, cluster.user);
  std::vector<std::string> argv = {(cluster.programs / "initdb").string(), "-D", unfinished.string(), "-U", "masbak",
                                   "--encoding=UTF8", "--no-locale", "--data-checksums",
                                   // The folder of the socket lets nobody else in.
                                   "--auth=trust"};
  if (!durable) argv.push_back("--no-sync");
  const base::Output output =
      base::run_process({.argv = argv, .working_directory = "/", .user = cluster.user}, "", std::chrono::minutes(5));
  if (!output.exit.ok()) {
    fs::remove_all(unfinished);
    std::string said = trimmed(output.err.empty() ? output.out : output.err);
    std::replace(said.begin(), said.end(), '\n', ' ');
    throw Error(Code::kUnavailable,
                "PostgreSQL cannot be started: initdb ended with " + output.exit.describe() + ": " + said,
                {.file = cluster.folder.string()});
  }
  fs::remove_all(cluster.folder);  // empty, or what an interrupted removal left: there was no PG_VERSION in it
  fs::rename(unfinished, cluster.folder);
  base::fsync_path(cluster.folder.parent_path());
}

std::optional<RunningServer> find_running_server(const Cluster& cluster) {
  std::ifstream file(cluster.folder / "postmaster.pid");
  // Lines: process id, data folder, start time, port, socket folder, address, shared memory, state.
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  if (lines.size() < 5) return std::nullopt;
  RunningServer server{.pid = std::atoi(lines[0].c_str()), .sockets = trimmed(lines[4])};
  const std::vector<pid_t> there = processes_in(cluster.folder);
  if (std::find(there.begin(), there.end(), server.pid) == there.end()) return std::nullopt;
  return server;
}

void clear_stale_pid_file(const Cluster& cluster) {
  const fs::path pid_file = cluster.folder / "postmaster.pid";
  if (!fs::exists(pid_file)) return;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!processes_in(cluster.folder).empty()) {
    if (std::chrono::steady_clock::now() > deadline) {
      throw Error(Code::kUnavailable,
                  "PostgreSQL cannot be started: process " + std::to_string(processes_in(cluster.folder).front()) +
                      " still works in the cluster: end it first",
                  {.file = cluster.folder.string()});
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  if (fs::remove(pid_file)) base::log_info("removed postmaster.pid of a server that is gone: " + pid_file.string());
}

}  // namespace masbak::registry

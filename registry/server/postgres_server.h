// The private PostgreSQL of a local installation: a cluster in a folder, reached by a Unix socket only.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

namespace masbak::registry {

struct PostgresOptions {
  // The installation's data folder. The cluster lies in data/postgres; as root, where the server's user may go:
  // if that user cannot reach the data folder (it is below /root), data/postgres is a link to a folder of a random
  // name, /var/lib/masbak/postgres-*.
  std::filesystem::path data;
  std::filesystem::path
      programs;  // folder of initdb and postgres; empty: PATH, then the newest /usr/lib/postgresql/*/bin
  std::string user = "postgres";      // what the server runs as when we are root
  std::chrono::seconds patience{60};  // until it is ready
  bool durable = true;                // false: fsync off, for tests only
};

// Starting takes over a server of this cluster that still runs, and clears what a crash left behind. Not
// thread-safe.
class PostgresServer {
 public:
  // Makes the cluster if there is none (half-made ones are made anew), starts the server and waits until it
  // answers. NOT_FOUND if PostgreSQL is not installed; UNAVAILABLE "PostgreSQL cannot be started: …" with the
  // log's last line and path; FAILED_PRECONDITION if the cluster is of another major version.
  static PostgresServer start(const PostgresOptions& options);
  // Stops it, unless released.
  ~PostgresServer();
  PostgresServer(PostgresServer&&) noexcept;

  std::string url() const;  // for StoreOptions
  pid_t pid() const;
  std::filesystem::path cluster() const;
  std::filesystem::path log_file() const;
  bool running() const;
  // A fast shutdown (SIGINT), then an immediate one (SIGQUIT) after the grace period; never SIGKILL.
  void stop(std::chrono::seconds grace = std::chrono::seconds(30));
  void release();  // the server goes on without us

 private:
  struct State;
  explicit PostgresServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace masbak::registry

// Where a cluster lies, which programs serve it, and who still works in it. Used by postgres_server.cc.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>

#include "registry/server/postgres_server.h"

namespace masbak::registry {

struct Cluster {
  std::filesystem::path programs;  // initdb, postgres
  std::filesystem::path folder;    // PostgreSQL's data folder
  std::filesystem::path sockets;   // short enough for a socket's name
  std::filesystem::path log_file;
  std::string user;  // what the programs run as; empty: as we are
};

// Finds the programs and chooses the places; creates the folders around the cluster, not the cluster itself.
Cluster locate_cluster(const PostgresOptions& options);

// Runs initdb if there is no cluster. FAILED_PRECONDITION if it is of another major version than the programs.
void ensure_cluster(const Cluster& cluster, bool durable);

// The server that works in the cluster now.
struct RunningServer {
  pid_t pid = 0;
  std::filesystem::path sockets;
};

// Reads postmaster.pid and checks that the process is truly this cluster's server.
std::optional<RunningServer> find_running_server(const Cluster& cluster);

// Removes a postmaster.pid whose server is gone, once no process of it is left in the cluster (a killed server's
// children need a moment to notice). UNAVAILABLE if they stay.
void clear_stale_pid_file(const Cluster& cluster);

}  // namespace masbak::registry

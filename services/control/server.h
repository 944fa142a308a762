// The control plane as one thing: database, artifacts, services, scheduler.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

namespace masbak::services {

struct ControlOptions {
  std::filesystem::path data;    // token, endpoint, artifacts/, postgres/ (unless `database` is set)
  std::string listen;            // "127.0.0.1:7443"
  std::string database;          // libpq's URL; empty: a private server
  std::filesystem::path worker;  // masbak-worker
};

class ControlServer {
 public:
  // Serves when it returns. ALREADY_EXISTS if the port is in use, or another control plane works in the data
  // folder: nothing was started then.
  explicit ControlServer(const ControlOptions& options);
  // Ends the calls in progress, then the scheduler, then the private database.
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  int port() const;
  // False once the private database has gone: the program should end, to be started anew.
  bool healthy() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace masbak::services

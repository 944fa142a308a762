// Keeps the control plane and the local node's agent running, and ends them together.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/process.h"
#include "programs/cli/installation.h"

namespace masbak::cli {

struct SupervisorOptions {
  Installation installation;
  std::string listen;              // "127.0.0.1:7443"
  std::filesystem::path programs;  // folder of masbak-controld and masbak-noded
  std::filesystem::path worker;    // masbak-worker; empty: the one beside the programs
  std::string node = "local";
  std::chrono::seconds patience{120};  // until everything is ready
};

// Children are started anew when they die, unless that happens again and again. Not thread-safe.
class Supervisor {
 public:
  explicit Supervisor(SupervisorOptions options);
  // Stops what runs: the agent first, then the control plane.
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // Returns when the health service answers and the node is READY. Throws what a child gave as its reason (a port in
  // use: ALREADY_EXISTS); then nothing is left running. CANCELLED if a stop is requested meanwhile.
  void start(const std::function<void(const std::string&)>& waiting_for);
  // Watches the children until a stop is requested. Throws if one dies again and again.
  void run();
  std::string endpoint() const;

 private:
  struct Child {
    std::string program;
    std::vector<std::string> arguments;
    std::chrono::seconds grace;
    std::optional<base::Process> process;
    std::chrono::steady_clock::time_point started;
    uint64_t log_from = 0;
    int quick_deaths = 0;
  };

  void launch(Child& child);
  void require_alive(Child& child);
  void revive(Child& child);
  void stop(Child& child);
  template <typename Condition>
  void wait_for(const std::string& what, const std::function<void(const std::string&)>& waiting_for,
                const Condition& condition);

  SupervisorOptions options_;
  Child control_, node_;
};

}  // namespace masbak::cli

// The agent of a node: tells the control plane about twice a second what runs here, and makes what runs here
// what the control plane wants.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "masbak/v1/node.pb.h"
#include "services/node/task_runner.h"

namespace masbak::services {

struct AgentOptions {
  std::string control;         // "127.0.0.1:7443"
  std::filesystem::path data;  // tasks/, base-models.json
  std::string name;            // "local" → "nodes/local"
  std::string token;
  std::filesystem::path worker;      // masbak-worker
  std::filesystem::path supervisor;  // masbak-noded
  bool keep_workers = false;         // at the end: leave workers running for the next agent
  std::chrono::milliseconds period{500};
  std::chrono::milliseconds grace{30000};
};

class Agent {
 public:
  // Takes up the tasks of an earlier life; their workers are watched again from here on. RESOURCE_EXHAUSTED
  // style errors of the disk come out; an unreachable control plane does not. ALREADY_EXISTS if another agent
  // works in the same data folder.
  explicit Agent(const AgentOptions& options);
  ~Agent();

  // Until base::stop_requested().
  void run();

 private:
  void sync();
  v1::SyncRequest observe();
  void reconcile(const v1::SyncResponse& wanted);
  void take_up(const v1::Task& task);
  void sweep_forgotten();
  void shut_down();

  AgentOptions options_;
  ControlClient control_;
  BaseModels base_models_;
  TaskTools tools_;
  int lock_ = -1;
  std::map<std::string, std::unique_ptr<TaskRunner>> tasks_;
  std::map<std::string, std::unique_ptr<TaskRunner>> forgotten_;  // stopping; their directories go then
  std::map<std::string, std::string> refused_;                    // by task id: why it could not be taken up
  std::map<std::string, int64_t> acknowledged_;
  bool connected_ = true;  // for one log line a change
};

}  // namespace masbak::services

// One task on this node: a directory, a thread that carries it from its inputs to its outputs, and a worker
// process under a supervisor of its own.
#pragma once

#include <atomic>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "masbak/v1/node.pb.h"
#include "services/launcher/local.h"
#include "services/node/base_models.h"
#include "services/node/control_client.h"
#include "services/node/event_tail.h"

namespace masbak::services {

// What every task of an agent shares. Outlives the tasks.
struct TaskTools {
  ControlClient& control;
  BaseModels& base_models;
  std::filesystem::path worker;      // masbak-worker
  std::filesystem::path supervisor;  // masbak-noded itself
  std::chrono::milliseconds grace{30000};
};

// The states are those of TaskStatus:
//
//   PREPARING ─→ RUNNING ─→ SUCCEEDED     (outputs are uploaded before)
//     │  ↑__________││──────→ FAILED
//     └──────────────┴──────→ STOPPED     (on request)
//
// RUNNING → PREPARING: a model server crashed and is started again.
//
// The directory (everything that a restarted agent needs):
//   task.json              the task as the control plane gave it
//   state.json             attempt, port, and the final status once there is one
//   worker.log             what the workers wrote
//   NAME.process.json, …   supervisor.h
//   base, inputs/, adapter/, run.yaml, job/     what the worker reads and writes
//
// The thread runs the same steps from the start after a restart of the agent: each step does nothing if it was
// done, and a worker that still runs is found and watched on.
class TaskRunner {
 public:
  // Takes up the directory if it is there, else makes it.
  static std::unique_ptr<TaskRunner> create(const v1::Task& task, const std::filesystem::path& directory,
                                            const TaskTools& tools);
  // A task of an earlier life. Null, with a warning, if the directory was only half made.
  static std::unique_ptr<TaskRunner> load(const std::filesystem::path& directory, const TaskTools& tools);

  TaskRunner(v1::Task task, std::filesystem::path directory, const TaskTools& tools);  // create() and load() start it
  // join() must have been called: the thread runs the derived class's code.
  virtual ~TaskRunner();

  const std::string& id() const { return task_.id(); }
  const std::filesystem::path& directory() const { return directory_; }

  // Stop the worker with grace and become STOPPED. At once; status() tells when.
  void stop() { stop_ = true; }
  // The agent ends: the thread ends soon, nothing final is recorded, and the next agent goes on. With
  // `end_workers` the worker is stopped first (training goes on from its last checkpoint), else it goes on.
  void interrupt(bool end_workers);
  bool thread_ended() const { return thread_ended_; }
  void join();  // after stop() or interrupt()

  // A final state is reported only once all events before it are.
  v1::TaskStatus status(int64_t acknowledged_seq);
  bool is_final() const;

 protected:
  // The whole work; returns the outputs to upload (name → file or folder). Throws to fail.
  virtual std::map<std::string, std::filesystem::path> work() = 0;

  // Thrown out of work() on a stop or an interruption; caught by the thread.
  struct Stopped {};
  struct Interrupted {};
  // Throws one of them if it is time.
  void check() const;

  // Checks the base model and links it as `base`; fetches the files and the adapter.
  void prepare();
  // Runs a worker to its end, or finds that it ended already. A worker that is gone without a trace is started
  // again, at most twice. Throws the worker's own error, or how it was ended.
  void run_worker(const std::string& name, const std::vector<std::string>& arguments);
  LocalWorker start_worker(const std::string& name, const std::vector<std::string>& arguments);
  // Waits until the worker ended or `done` says so.
  std::optional<WorkerEnd> watch(LocalWorker& worker, const std::function<bool()>& done);

  int remembered(const std::string& key) const;  // 0 if never set
  void remember(const std::string& key, int value);
  void set_state(v1::TaskStatus::State state, const std::string& error = "", const std::string& endpoint = "");
  std::filesystem::path log_file() const { return directory_ / "worker.log"; }

  v1::Task task_;
  std::filesystem::path directory_;
  TaskTools tools_;

 private:
  static std::unique_ptr<TaskRunner> make(const v1::Task& task, const std::filesystem::path& directory,
                                          const TaskTools& tools);
  void start();
  void run();
  void finish(v1::TaskStatus::State state, const std::string& error,
              const std::map<std::string, std::filesystem::path>& outputs);
  void restore();
  void save();  // with mutex_ held

  mutable std::mutex mutex_;  // guards status_ and numbers_
  v1::TaskStatus status_;
  std::map<std::string, int> numbers_;
  EventTail events_;  // used by the agent's thread only
  std::thread thread_;
  std::atomic<bool> stop_{false}, interrupted_{false}, end_workers_{false}, thread_ended_{false};
};

// The kinds, each in its own file.
std::unique_ptr<TaskRunner> make_train_task(const v1::Task&, const std::filesystem::path&, const TaskTools&);
std::unique_ptr<TaskRunner> make_evaluate_task(const v1::Task&, const std::filesystem::path&, const TaskTools&);
std::unique_ptr<TaskRunner> make_serve_task(const v1::Task&, const std::filesystem::path&, const TaskTools&);

}  // namespace masbak::services

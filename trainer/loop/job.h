// One training job at work: what train() runs. See train.h for the files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "adapters/adapter.h"
#include "adapters/promise.h"
#include "base/error.h"
#include "models/families/causal_model.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/loop/batches.h"
#include "trainer/loop/data.h"
#include "trainer/loop/events.h"
#include "trainer/loop/progress.h"
#include "trainer/loop/trainer.h"
#include "trainer/run_config.h"

namespace masbak::trainer {

class Job {
 public:
  // `run` must outlive the object; it is read from run() on.
  Job(const RunConfig& run, const std::filesystem::path& folder, bool resume);

  void run();
  // Tells the world how the job ended badly.
  void fail(const base::Error& error);

 private:
  // The job from its beginning to its end (job.cc).
  void prepare();
  void restore();
  void load(const FoundCheckpoint& found);
  void start();
  void finish();
  void warn(const std::string& message);

  // Step after step (job_loop.cc).
  void loop();
  void take_step();
  void tell_step(const StepResult& result, double rate, double seconds);
  void evaluate();
  void save();
  bool evaluation_due() const;
  bool should_stop_early() const;
  void check_cancelled();
  // Whether the step must not be taken: its loss is not finite or jumps. ABORTED if the run is to stop then.
  bool diverged(const StepResult& result);
  void step_back(const std::string& reason);
  // The number in the data of the batch of step `step`: batches passed over move the later ones up.
  int64_t batch_of(int64_t step) const;
  double epochs_done();

  const RunConfig& run_;
  const std::filesystem::path folder_;
  const bool resume_;
  EventLog events_;
  RunData data_;
  std::unique_ptr<models::CausalModel> model_;
  std::vector<adapters::PlanPlace> places_;
  adapters::Adapter adapter_;
  std::unique_ptr<adapters::Promise> promise_;
  std::unique_ptr<Trainer> trainer_;
  std::unique_ptr<Batches> batches_;
  std::unique_ptr<Progress> progress_;
  TrainState state_;
  at::Tensor best_parameters_;
  int64_t resumed_from_ = 0, saved_at_ = -1, evaluated_at_ = -1;
  const char* astray_ = "error";  // why an ABORTED run stopped, as events and result say it
};

// The most that was resident of this process so far, in bytes (VmHWM: mapped weights that were touched count).
int64_t peak_memory_bytes();

}  // namespace masbak::trainer

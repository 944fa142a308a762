#include "trainer/loop/job.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "adapters/file.h"
#include "base/digest.h"
#include "base/durable_file.h"
#include "base/error.h"
#include "models/checkpoint/folder.h"
#include "trainer/estimate/available.h"
#include "trainer/loop/data_report.h"
#include "trainer/loop/start.h"

namespace masbak::trainer {

namespace fs = std::filesystem;
using base::Json;

namespace {

// What a writer that was killed left behind.
void remove_leftovers(const fs::path& checkpoints) {
  if (!fs::exists(checkpoints)) return;
  std::vector<fs::path> leftovers;
  for (const auto& entry : fs::directory_iterator(checkpoints)) {
    if (!entry.path().filename().string().starts_with("step-")) leftovers.push_back(entry.path());
  }
  for (const fs::path& path : leftovers) fs::remove_all(path);
}

// What decides about the numbers learnt: a run may go on with more layers computed again, or fewer.
std::string learning_yaml(RunConfig run) {
  run.training.checkpointing = {};
  run.training.memory_budget = 0;
  return run.to_yaml();
}

}  // namespace

// Not getrusage's ru_maxrss: a new program begins with that of the process that started it.
int64_t peak_memory_bytes() { return std::max<int64_t>(0, bytes_in("/proc/self/status", "VmHWM:")); }

Job::Job(const RunConfig& run, const fs::path& folder, bool resume)
    : run_(run), folder_(folder), resume_(resume), events_(folder / "events.jsonl") {}

void Job::run() {
  prepare();
  if (resume_) restore();
  start();
  report_data(data_, run_.training.max_length, folder_, events_, *progress_);
  loop();
  finish();
}

void Job::warn(const std::string& message) {
  events_.write("warning", {{"message", message}});
  progress_->note("warning: " + message);
}

void Job::prepare() {
  data_ = load_run_data(run_, [](const std::string& line) { Progress(0).note(line); });
  model_ = load_base_model(run_);
  places_ = adapters::places(*model_);
  adapter_ = starting_adapter(run_, places_);
  adapters::initialise(adapter_, *model_);
  promise_ = std::make_unique<adapters::Promise>(adapter_, *model_);
  const bool adapter_is_old = !run_.adapter.path.empty();
  trainer_ = std::make_unique<Trainer>(*model_, adapter_, run_.objective, run_.training, adapter_is_old);
  batches_ = std::make_unique<Batches>(data_.train, run_.training);
  progress_ = std::make_unique<Progress>(batches_->total_steps());
  state_.digests = {{"model", models::model_digest(run_.model)},
                    {"plan", adapter_.plan.digest()},
                    {"run", base::digest_bytes(learning_yaml(run_))}};
  if (adapter_is_old) state_.digests["start"] = adapters::adapter_digest(run_.adapter.path);
  for (const auto& [name, digest] : data_.digests) state_.digests["dataset_" + name] = digest;
}

void Job::restore() {
  remove_leftovers(folder_ / "checkpoints");
  std::vector<std::string> damaged;
  auto found = find_checkpoint(folder_ / "checkpoints", &damaged);
  for (const std::string& message : damaged) warn(message);
  if (!found) return;
  for (const auto& [name, digest] : state_.digests) {
    const auto old = found->state.digests.find(name);
    if (old != found->state.digests.end() && old->second == digest) continue;
    throw base::Error(base::Code::kFailedPrecondition,
                      "a resume must go on with the same " + name + " (expected " +
                          (old == found->state.digests.end() ? "none" : old->second) + ", found " + digest +
                          "); start a new job for the change",
                      {folder_.string(), 0, ""});
  }
  load(*found);
  // A run that was killed between writing one and removing the oldest.
  keep_newest(folder_ / "checkpoints", static_cast<int>(run_.training.save_total_limit));
  resumed_from_ = state_.step;
}

void Job::load(const FoundCheckpoint& found) {
  const at::NoGradGuard no_grad;
  const adapters::Adapter saved = adapters::read_adapter(found.folder / "adapter", places_);
  adapters::copy_numbers(adapter_, saved);
  AdamW& optimizer = trainer_->optimizer();
  optimizer.first_moment().copy_(found.tensors.first_moment);
  optimizer.second_moment().copy_(found.tensors.second_moment);
  optimizer.set_steps(found.state.step);
  model_->weights_changed();
  if (found.tensors.dropout_state.defined()) adapter_.dropout->generator.set_state(found.tensors.dropout_state);
  best_parameters_ = found.tensors.best_parameters;
  state_ = found.state;
  saved_at_ = state_.step;
  // An evaluation comes before the checkpoint of its step.
  evaluated_at_ = evaluation_due() ? state_.step : -1;
}

void Job::start() {
  const adapters::Plan& plan = adapter_.plan;
  base::write_file_durably(folder_ / "plan.json", plan.to_json().dump(2) + "\n");
  const std::vector<bool> layers = run_.training.checkpointing.of(model_->info().layers);
  const auto again = std::count(layers.begin(), layers.end(), true);
  Json rows = Json::object();
  for (const DatasetReport& report : data_.reports) rows[report.file] = report.examples;
  events_.write("started", {{"plan",
                             {{"digest", plan.digest()},
                              {"trainable_parameters", plan.trainable_parameters},
                              {"targets", plan.targets.size()},
                              {"frozen", plan.frozen}}},
                            {"digests", state_.digests},
                            {"rows", rows},
                            {"packing", packing_json(*batches_, run_.training)},
                            {"checkpointed_layers", again},
                            {"total_steps", batches_->total_steps()},
                            {"resumed_from_step", resumed_from_}});
  progress_->note("training " + std::to_string(plan.trainable_parameters) + " parameters in " +
                  std::to_string(plan.targets.size()) + " places for " + std::to_string(batches_->total_steps()) +
                  " steps" + (resumed_from_ > 0 ? ", from step " + std::to_string(resumed_from_) : ""));
  if (again > 0) {
    progress_->note("computing " + std::to_string(again) + " of " + std::to_string(layers.size()) +
                    " layers again on the way back, to save memory");
  }
  progress_->note(packing_line(*batches_, run_.training));
}

void Job::finish() {
  evaluate();
  const bool early = should_stop_early();
  int64_t adapter_step = state_.step;
  if (run_.training.keeps_best() && best_parameters_.defined()) {
    const at::NoGradGuard no_grad;
    trainer_->optimizer().parameters().copy_(best_parameters_);
    adapter_step = state_.best_step;
  }
  const adapters::PromiseReport promise = promise_->report(adapter_, trainer_->second_moments());
  for (const std::string& message : promise.warnings()) warn(message);
  if (!promise.frozen_changed.empty()) {
    throw base::Error(base::Code::kInternal,
                      "the run changed weights that its plan does not name: " + promise.warnings().front());
  }
  fs::remove_all(folder_ / "adapter");
  adapters::write_adapter(adapter_, places_, run_.model.string(), folder_ / "adapter");
  Json result{{"state", "finished"},
              {"steps", state_.step},
              {"stopped_early", early},
              {"adapter_step", adapter_step},
              {"adapter_digest", adapters::adapter_digest(folder_ / "adapter")},
              {"loss", state_.last_loss},
              {"eval_loss", state_.last_eval_loss ? Json(*state_.last_eval_loss) : Json(nullptr)},
              {"best_eval_loss", state_.best_eval_loss ? Json(*state_.best_eval_loss) : Json(nullptr)},
              {"tokens", state_.tokens},
              {"seconds", state_.seconds},
              {"tokens_per_second", static_cast<double>(state_.tokens) / std::max(state_.seconds, 1e-9)},
              {"trainable_parameters", adapter_.plan.trainable_parameters},
              {"peak_memory_bytes", peak_memory_bytes()},
              {"plan_kept", promise.to_json()},
              {"digests", state_.digests}};
  base::write_file_durably(folder_ / "result.json", result.dump(2) + "\n");
  result.erase("state");
  events_.write("finished", result);
}

void Job::fail(const base::Error& error) {
  const char* reason = error.code() == base::Code::kCancelled ? "cancelled"
                       : error.code() == base::Code::kAborted ? astray_
                                                              : "error";
  Json result{{"reason", reason},
              {"code", std::string(base::code_name(error.code()))},
              {"message", error.what()},
              {"where", error.describe()},
              {"step", state_.step}};
  events_.write("failed", result);
  Json file{{"state", "failed"}};
  file.update(result);
  base::write_file_durably(folder_ / "result.json", file.dump(2) + "\n");
}

}  // namespace masbak::trainer

#include "trainer/loop/train.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <sys/resource.h>

#include <chrono>
#include <cmath>
#include <optional>

#include "adapters/file.h"
#include "base/digest.h"
#include "base/durable_file.h"
#include "base/error.h"
#include "base/program.h"
#include "models/checkpoint/folder.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/loop/batches.h"
#include "trainer/loop/data_report.h"
#include "trainer/loop/events.h"
#include "trainer/loop/progress.h"
#include "trainer/loop/schedule.h"
#include "trainer/loop/start.h"
#include "trainer/loop/trainer.h"

namespace masbak::trainer {
namespace {

namespace fs = std::filesystem;
using base::Json;
using Clock = std::chrono::steady_clock;

constexpr int kCheckpointsKept = 2;  // the newest, and the one before in case it is damaged

int64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

class Job {
 public:
  Job(const RunConfig& run, const fs::path& folder, bool resume)
      : run_(run), folder_(folder), resume_(resume), events_(folder / "events.jsonl") {}

  void run();
  void fail(const base::Error& error);

 private:
  void prepare();
  void restore();
  void start();
  void loop();
  void take_step();
  void evaluate();
  void save();
  void finish();
  bool evaluation_due() const;
  bool should_stop_early() const;
  void check_cancelled();

  const RunConfig& run_;
  const fs::path folder_;
  const bool resume_;
  EventLog events_;
  RunData data_;
  std::unique_ptr<models::CausalModel> model_;
  std::vector<adapters::PlanPlace> places_;
  adapters::Adapter adapter_;
  std::unique_ptr<Trainer> trainer_;
  std::unique_ptr<Batches> batches_;
  std::unique_ptr<Progress> progress_;
  TrainState state_;
  at::Tensor best_parameters_;
  int64_t resumed_from_ = 0, saved_at_ = -1, evaluated_at_ = -1;
};

void Job::prepare() {
  data_ = load_run_data(run_, [](const std::string& line) { Progress(0).note(line); });
  model_ = load_base_model(run_);
  places_ = adapters::places(*model_);
  adapter_ = starting_adapter(run_, places_);
  trainer_ = std::make_unique<Trainer>(*model_, adapter_, run_.training);
  batches_ = std::make_unique<Batches>(data_.train, run_.training);
  progress_ = std::make_unique<Progress>(batches_->total_steps());
  state_.digests = {{"model", models::model_digest(run_.model)},
                    {"plan", adapter_.plan.digest()},
                    {"run", base::digest_bytes(run_.to_yaml())}};
  for (const auto& [name, digest] : data_.digests) state_.digests["dataset_" + name] = digest;
}

void Job::restore() {
  std::vector<std::string> damaged;
  auto found = find_checkpoint(folder_ / "checkpoints", &damaged);
  for (const std::string& message : damaged) {
    events_.write("warning", {{"message", message}});
    progress_->note("warning: " + message);
  }
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
  const at::NoGradGuard no_grad;
  const adapters::Adapter saved = adapters::read_adapter(found->folder / "adapter", places_);
  if (saved.factors.size() != adapter_.factors.size()) {
    throw base::Error(base::Code::kDataLoss, "the checkpoint's adapter has other targets than its plan",
                      {found->folder.string(), 0, ""});
  }
  for (size_t i = 0; i < saved.factors.size(); ++i) {
    adapter_.factors[i].a.copy_(saved.factors[i].a);
    adapter_.factors[i].b.copy_(saved.factors[i].b);
  }
  AdamW& optimizer = trainer_->optimizer();
  optimizer.first_moment().copy_(found->tensors.first_moment);
  optimizer.second_moment().copy_(found->tensors.second_moment);
  optimizer.set_steps(found->state.step);
  if (found->tensors.dropout_state.defined()) adapter_.dropout->generator.set_state(found->tensors.dropout_state);
  best_parameters_ = found->tensors.best_parameters;
  state_ = found->state;
  resumed_from_ = saved_at_ = state_.step;
  if (evaluation_due()) evaluated_at_ = state_.step;  // it came before the checkpoint
}

void Job::start() {
  const adapters::Plan& plan = adapter_.plan;
  base::write_file_durably(folder_ / "plan.json", plan.to_json().dump(2) + "\n");
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
                            {"total_steps", batches_->total_steps()},
                            {"resumed_from_step", resumed_from_}});
  progress_->note("training " + std::to_string(plan.trainable_parameters) + " parameters in " +
                  std::to_string(plan.targets.size()) + " places for " + std::to_string(batches_->total_steps()) +
                  " steps" + (resumed_from_ > 0 ? ", from step " + std::to_string(resumed_from_) : ""));
  progress_->note(packing_line(*batches_, run_.training));
}

void Job::evaluate() {
  if (data_.eval.empty() || evaluated_at_ == state_.step) return;
  const double loss = trainer_->evaluate(data_.eval);
  if (!std::isfinite(loss)) {
    throw base::Error(base::Code::kAborted, "the evaluation loss is not finite; lower learning_rate");
  }
  evaluated_at_ = state_.step;
  state_.last_eval_loss = loss;
  if (!state_.best_eval_loss || loss < *state_.best_eval_loss) {
    state_.best_eval_loss = loss;
    state_.best_step = state_.step;
    state_.evals_without_improvement = 0;
    if (run_.training.early_stopping_patience > 0) best_parameters_ = trainer_->optimizer().parameters().clone();
  } else {
    ++state_.evals_without_improvement;
  }
  events_.write_once("eval", state_.step,
                     {{"epoch", batches_->epochs_after(state_.step)},
                      {"eval_loss", loss},
                      {"best_eval_loss", *state_.best_eval_loss},
                      {"best_step", state_.best_step}});
  char text[96];
  std::snprintf(text, sizeof text, "step %lld: eval loss %.4f", static_cast<long long>(state_.step), loss);
  progress_->note(text);
}

bool Job::evaluation_due() const {
  return state_.step % run_.training.eval_steps == 0 || state_.step == batches_->total_steps();
}

bool Job::should_stop_early() const {
  return run_.training.early_stopping_patience > 0 &&
         state_.evals_without_improvement >= run_.training.early_stopping_patience;
}

void Job::save() {
  if (saved_at_ == state_.step) return;
  CheckpointTensors tensors{trainer_->optimizer().first_moment(), trainer_->optimizer().second_moment(),
                            best_parameters_, adapter_.dropout->generator.get_state()};
  write_checkpoint(folder_ / "checkpoints", state_, tensors, adapter_, places_, run_.model.string(), kCheckpointsKept);
  saved_at_ = state_.step;
  events_.write_once("checkpoint", state_.step, {{"epoch", batches_->epochs_after(state_.step)}});
}

void Job::check_cancelled() {
  if (!base::stop_requested()) return;
  save();
  throw base::Error(base::Code::kCancelled, "stopped by a signal after step " + std::to_string(state_.step) +
                                                "; train --resume goes on from there");
}

void Job::take_step() {
  const auto begin = Clock::now();
  const double rate = learning_rate(run_.training, state_.step, batches_->total_steps());
  const StepResult result = trainer_->step(batches_->step(state_.step), rate);
  const double seconds = seconds_since(begin);
  ++state_.step;
  state_.tokens += result.tokens;
  state_.seconds += seconds;
  state_.last_loss = result.loss;
  const double speed = static_cast<double>(result.tokens) / seconds;
  Json event{{"epoch", batches_->epochs_after(state_.step)},
             {"loss", result.loss},
             {"learning_rate", rate},
             {"grad_norm", result.grad_norm},
             {"tokens", result.tokens},
             {"tokens_per_second", speed},
             {"peak_memory_bytes", peak_memory_bytes()}};
  if (!result.routers.load.empty()) {
    event["router_load"] = result.routers.load;
    event["router_entropy"] = result.routers.entropy;
  }
  const auto told = events_.told_loss(state_.step);
  if (told && *told != result.loss) {
    events_.write("warning", {{"message", "step " + std::to_string(state_.step) +
                                              " repeated after the resume has loss " + Json(result.loss).dump() +
                                              ", before the interruption it was " + Json(*told).dump()}});
  }
  events_.write_once("step", state_.step, event);
  progress_->step(state_.step, result.loss, speed);
}

void Job::loop() {
  const int64_t total = batches_->total_steps();
  if (state_.step == 0) evaluate();
  while (state_.step < total && !should_stop_early()) {
    check_cancelled();
    take_step();
    // The evaluation comes first: a checkpoint then holds its outcome too.
    if (evaluation_due()) evaluate();
    if (state_.step % run_.training.save_steps == 0 || state_.step == total) save();
  }
}

void Job::finish() {
  evaluate();
  const bool early = should_stop_early();
  int64_t adapter_step = state_.step;
  if (run_.training.early_stopping_patience > 0 && best_parameters_.defined()) {
    const at::NoGradGuard no_grad;
    trainer_->optimizer().parameters().copy_(best_parameters_);
    adapter_step = state_.best_step;
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
              {"digests", state_.digests}};
  base::write_file_durably(folder_ / "result.json", result.dump(2) + "\n");
  result.erase("state");
  events_.write("finished", result);
}

void Job::run() {
  prepare();
  if (resume_) restore();
  start();
  report_data(data_, run_.training.max_length, folder_, events_, *progress_);
  loop();
  finish();
}

void Job::fail(const base::Error& error) {
  const char* reason = error.code() == base::Code::kCancelled ? "cancelled"
                       : error.code() == base::Code::kAborted ? "not_finite"
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

void write_run_file(const RunConfig& run, const fs::path& job) {
  const fs::path copy = job / "run.yaml";
  if (fs::exists(copy) && fs::exists(run.file) && fs::equivalent(copy, run.file)) return;
  base::write_file_durably(copy, run.to_yaml());
}

bool finished(const fs::path& job) {
  const fs::path file = job / "result.json";
  return fs::exists(file) && base::read_json(file).value("state", "") == "finished";
}

}  // namespace

void train(const RunConfig& run, const fs::path& job, bool resume) {
  const bool old = fs::exists(job / "events.jsonl") && fs::file_size(job / "events.jsonl") > 0;
  if (old && !resume) {
    throw base::Error(base::Code::kAlreadyExists,
                      "the folder holds a job already; go on with it by --resume, or give another folder",
                      {job.string(), 0, ""});
  }
  if (resume && finished(job)) {
    Progress(0).note("the job in " + job.string() + " is finished already");
    return;
  }
  fs::create_directories(job);
  write_run_file(run, job);
  fs::remove(job / "result.json");
  Job work(run, job, resume);
  try {
    work.run();
  } catch (const base::Error& error) {
    work.fail(error);
    throw;
  } catch (const std::exception& error) {
    const base::Error wrapped(base::Code::kInternal, error.what());
    work.fail(wrapped);
    throw wrapped;
  }
}

}  // namespace masbak::trainer

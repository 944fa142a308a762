// A job's steps, evaluations and checkpoints, and what it does when the loss goes astray.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

#include "base/program.h"
#include "trainer/loop/job.h"
#include "trainer/loop/schedule.h"

namespace masbak::trainer {

using base::Json;
using Clock = std::chrono::steady_clock;

namespace {

constexpr size_t kRecentLosses = 20;  // whose median a spike is measured against
constexpr size_t kFewestLosses = 5;   // before that nothing is called a spike
constexpr int64_t kMostStepsBack = 5;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

}  // namespace

int64_t Job::batch_of(int64_t step) const {
  int64_t batch = step;
  for (const int64_t skipped : state_.skipped) batch += skipped <= batch ? 1 : 0;
  return batch;
}

double Job::epochs_done() { return state_.step == 0 ? 0 : batches_->epochs_after(batch_of(state_.step - 1) + 1); }

void Job::evaluate() {
  if (data_.eval.empty() || evaluated_at_ == state_.step) return;
  const EvalResult result = trainer_->evaluate(data_.eval);
  if (!std::isfinite(result.loss)) {
    throw base::Error(base::Code::kAborted, "the evaluation loss is not finite; lower learning_rate");
  }
  evaluated_at_ = state_.step;
  state_.last_eval_loss = result.loss;
  if (!state_.best_eval_loss || result.loss < *state_.best_eval_loss - run_.training.early_stopping_threshold) {
    state_.best_eval_loss = result.loss;
    state_.best_step = state_.step;
    state_.evals_without_improvement = 0;
    if (run_.training.keeps_best()) best_parameters_ = trainer_->optimizer().parameters().clone();
  } else {
    ++state_.evals_without_improvement;
  }
  Json event{{"epoch", epochs_done()},
             {"eval_loss", result.loss},
             {"best_eval_loss", *state_.best_eval_loss},
             {"best_step", state_.best_step}};
  for (const auto& [name, value] : result.metrics) event["eval_" + name] = value;
  events_.write_once("eval", state_.step, event);
  progress_->note("step " + std::to_string(state_.step) + ": eval loss " + short_number(result.loss));
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
  CheckpointTensors tensors{trainer_->optimizer().first_moment().cpu(), trainer_->optimizer().second_moment().cpu(),
                            best_parameters_.defined() ? best_parameters_.cpu() : best_parameters_,
                            adapter_.dropout->generator.get_state()};
  write_checkpoint(folder_ / "checkpoints", state_, tensors, adapter_, places_, run_.model.string(),
                   static_cast<int>(run_.training.save_total_limit));
  saved_at_ = state_.step;
  events_.write_once("checkpoint", state_.step, {{"epoch", epochs_done()}});
}

void Job::check_cancelled() {
  if (!base::stop_requested()) return;
  save();
  throw base::Error(base::Code::kCancelled, "stopped by a signal after step " + std::to_string(state_.step) +
                                                "; train --resume goes on from there");
}

bool Job::diverged(const StepResult& result) {
  const TrainingConfig& training = run_.training;
  const int64_t step = state_.step + 1;
  if (!result.finite()) {
    astray_ = "not_finite";
    if (training.nan_action == Divergence::kStop) throw not_finite(result);
    step_back("step " + std::to_string(step) + ": " + not_finite(result).what());
    return true;
  }
  if (training.loss_spike_factor == 0 || state_.recent_losses.size() < kFewestLosses) return false;
  const double usual = median(state_.recent_losses);
  // A loss below zero has no factor to measure by (ipo and orpo come near it).
  if (usual <= 0 || result.loss <= training.loss_spike_factor * usual) return false;
  astray_ = "loss_spike";
  const std::string reason = "step " + std::to_string(step) + ": the loss " + short_number(result.loss) +
                             " is more than " + short_number(training.loss_spike_factor) +
                             " times the median of the steps before it, " + short_number(usual);
  if (training.loss_spike_action == Divergence::kStop) {
    throw base::Error(base::Code::kAborted, reason +
                                                "; lower learning_rate, look at the examples of this step, or set "
                                                "loss_spike_action to warn or step_back");
  }
  if (training.loss_spike_action == Divergence::kStepBack) {
    step_back(reason);
    return true;
  }
  events_.write_once("warning", step, {{"message", reason}});
  progress_->note("warning: " + reason);
  return false;
}

void Job::step_back(const std::string& reason) {
  if (state_.step_backs >= kMostStepsBack) {
    throw base::Error(base::Code::kAborted, reason + "; the run has stepped back " + std::to_string(kMostStepsBack) +
                                                " times already, so that the cause is not one batch; lower "
                                                "learning_rate");
  }
  const int64_t batch = batch_of(state_.step), step_backs = state_.step_backs + 1, astray_step = state_.step + 1;
  std::vector<std::string> damaged;
  const auto found = find_checkpoint(folder_ / "checkpoints", &damaged);
  for (const std::string& message : damaged) warn(message);
  if (!found) throw base::Error(base::Code::kAborted, reason + "; there is no whole checkpoint to step back to");
  load(*found);
  state_.skipped.push_back(batch);
  std::sort(state_.skipped.begin(), state_.skipped.end());
  state_.step_backs = step_backs;
  saved_at_ = -1;
  // Told before it is saved: a run killed in between meets the batch again and says so again, rather than never.
  const std::string message =
      reason + "; back to step " + std::to_string(state_.step) + ", from where the run goes on without that batch";
  events_.write("warning", {{"step", astray_step}, {"step_back", step_backs}, {"message", message}});
  progress_->note("warning: " + message);
  save();  // the state now holds what is passed over
}

void Job::take_step() {
  const auto begin = Clock::now();
  const double rate = learning_rate(run_.training, state_.step, batches_->total_steps());
  const StepResult result = trainer_->compute(batches_->step(batch_of(state_.step)));
  if (diverged(result)) return;
  trainer_->apply(rate);
  const double seconds = seconds_since(begin);
  ++state_.step;
  state_.tokens += result.tokens;
  state_.seconds += seconds;
  state_.last_loss = result.loss;
  state_.recent_losses.push_back(result.loss);
  if (state_.recent_losses.size() > kRecentLosses) state_.recent_losses.erase(state_.recent_losses.begin());
  tell_step(result, rate, seconds);
}

void Job::tell_step(const StepResult& result, double rate, double seconds) {
  const double speed = static_cast<double>(result.tokens) / seconds;
  Json event{{"epoch", epochs_done()},
             {"loss", result.loss},
             {"learning_rate", rate},
             {"grad_norm", result.grad_norm},
             {"tokens", result.tokens},
             {"tokens_per_second", speed},
             {"peak_memory_bytes", peak_memory_bytes()}};
  for (const auto& [name, value] : result.metrics) event[name] = value;
  if (run_.training.router_aux_loss_coef > 0) event["aux_loss"] = result.router_loss;
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
  const TrainingConfig& training = run_.training;
  if (state_.step == 0) {
    evaluate();
    const bool may_step_back = training.nan_action == Divergence::kStepBack ||
                               (training.loss_spike_factor > 0 && training.loss_spike_action == Divergence::kStepBack);
    if (may_step_back) save();
  }
  while (state_.step < total && !should_stop_early()) {
    check_cancelled();
    const int64_t before = state_.step;
    take_step();
    if (state_.step <= before) continue;  // stepped back
    // The evaluation comes first: a checkpoint then holds its outcome too.
    if (evaluation_due()) evaluate();
    if (state_.step % training.save_steps == 0 || state_.step == total) save();
  }
}

}  // namespace masbak::trainer

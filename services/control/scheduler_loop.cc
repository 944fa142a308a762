#include "services/control/scheduler_loop.h"

#include "base/error.h"
#include "base/log.h"
#include "services/control/complete_job.h"

namespace masbak::services {
namespace {

constexpr auto kPeriod = std::chrono::milliseconds(500);
constexpr auto kSoon = std::chrono::milliseconds(20);
constexpr auto kSilence = std::chrono::seconds(10);

const registry::Actor kSystem{"system"};

struct Apply {
  ControlContext& context;

  void operator()(const StartJob& action) const {
    change(action.job, {.state = registry::JobState::kRunning, .node = action.node});
    base::log_info(action.job + " starts on " + action.node);
  }
  void operator()(const RequeueJob& action) const {
    change(action.job, {.state = registry::JobState::kQueued, .node = ""});
    base::log_warn(action.job + " is queued again: " + action.reason);
  }
  void operator()(const EndJob& action) const {
    change(action.job, {.state = action.state, .error = action.error, .outputs = action.outputs});
    base::log_info(action.job + " is " + std::string(registry::job_state_name(action.state)) + " " + action.error);
  }
  void operator()(const CompleteJob& action) const { complete_job(context, action.job, action.outputs); }
  void operator()(const PlaceRevision& action) const {
    context.store.write(kSystem, [&](registry::Writer& writer) {
      writer.place_revision(action.deployment, action.generation, action.node);
    });
  }
  void operator()(const ObserveRevision& action) const {
    context.store.write(kSystem, [&](registry::Writer& writer) {
      writer.observe_revision(action.deployment, action.generation, action.state, action.endpoint, action.error);
    });
    base::log_info(action.deployment + "/" + std::to_string(action.generation) + " is " +
                   std::string(registry::revision_state_name(action.state)) + " " + action.error);
  }
  void operator()(const RemoveDeployment& action) const {
    context.store.write(kSystem, [&](registry::Writer& writer) { writer.remove_deployment(action.deployment); });
  }

  void change(const std::string& job, const registry::JobUpdate& update) const {
    context.store.write(kSystem, [&](registry::Writer& writer) { writer.update_job(job, update); });
  }
};

}  // namespace

void apply(ControlContext& context, const Action& action) { std::visit(Apply{context}, action); }

SchedulerLoop::SchedulerLoop(ControlContext& context) : context_(context), thread_([this] { run(); }) {}

SchedulerLoop::~SchedulerLoop() {
  stop_ = true;
  context_.changes.announce();
  thread_.join();
}

Snapshot SchedulerLoop::look() {
  context_.store.write(kSystem, [&](registry::Writer& writer) { writer.mark_lost_nodes(kSilence); });
  // Taken before the store is read: a task that is final here may have ended its job already, never the reverse.
  LiveTasks::Snapshot tasks = context_.live_tasks.snapshot();
  Snapshot snapshot = context_.store.read([&](const registry::Reader& reader) {
    Snapshot found;
    found.nodes = reader.all_nodes();
    found.jobs = reader.jobs_in({registry::JobState::kQueued, registry::JobState::kRunning});
    found.deployments = reader.all_deployments();
    found.revisions = reader.open_revisions();
    return found;
  });
  snapshot.now = std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
  snapshot.tasks = std::move(tasks);
  return snapshot;
}

void SchedulerLoop::run() {
  while (!stop_) {
    uint64_t seen = context_.changes.count();
    bool acted = false;
    try {
      for (const Action& action : decide(look())) {
        try {
          apply(context_, action);
          acted = true;
        } catch (const base::Error& error) {
          // Somebody was faster (a cancelled job, say), or the store is away: it is decided anew the next time.
          base::log_warn("scheduler: " + error.describe());
        }
      }
    } catch (const base::Error& error) {
      base::log_error("scheduler: " + error.describe());
    }
    // What was done may allow the next thing (an ended job frees its node), so it looks again soon.
    if (acted) context_.changes.announce();
    context_.changes.wait(acted ? UINT64_MAX : seen, acted ? kSoon : kPeriod);
  }
}

}  // namespace masbak::services

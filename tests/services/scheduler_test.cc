// The scheduler's decisions as tables: a snapshot in, the actions out.
#include "services/control/scheduler.h"

#include <gtest/gtest.h>

namespace masbak::services {
namespace {

using registry::JobState;
using registry::NodeState;
using registry::RevisionState;

constexpr registry::Time kNow{std::chrono::hours(1000)};

registry::Node node(const std::string& name, NodeState state = NodeState::kReady,
                    std::chrono::minutes silent = std::chrono::minutes(0)) {
  registry::Node made;
  made.name = name;
  made.state = state;
  made.last_sync_time = kNow - silent;
  return made;
}

registry::Job job(const std::string& name, JobState state, const std::string& on = "", bool cancel = false) {
  registry::Job made;
  made.name = name;
  made.state = state;
  made.node = on;
  made.cancel_requested = cancel;
  return made;
}

registry::Revision revision(int64_t generation, RevisionState state, const std::string& on, bool wanted = true) {
  registry::Revision made;
  made.deployment = "deployments/d";
  made.generation = generation;
  made.state = state;
  made.node = on;
  made.wanted = wanted;
  return made;
}

v1::TaskStatus status(v1::TaskStatus::State state, const std::string& error = "", const std::string& endpoint = "") {
  v1::TaskStatus made;
  made.set_state(state);
  made.set_error(error);
  made.set_endpoint(endpoint);
  return made;
}

// One line an action, for tables.
struct Describe {
  std::string operator()(const StartJob& action) const { return "start " + action.job + " " + action.node; }
  std::string operator()(const RequeueJob& action) const { return "requeue " + action.job; }
  std::string operator()(const EndJob& action) const {
    return "end " + action.job + " " + std::string(registry::job_state_name(action.state)) +
           (action.error.empty() ? "" : ": " + action.error);
  }
  std::string operator()(const CompleteJob& action) const { return "complete " + action.job; }
  std::string operator()(const PlaceRevision& action) const {
    return "place " + std::to_string(action.generation) + " " + action.node;
  }
  std::string operator()(const ObserveRevision& action) const {
    return "observe " + std::to_string(action.generation) + " " +
           std::string(registry::revision_state_name(action.state)) + (action.error.empty() ? "" : ": " + action.error);
  }
  std::string operator()(const RemoveDeployment& action) const { return "remove " + action.deployment; }
};

std::string decided(const Snapshot& snapshot) {
  std::string text;
  for (const auto& action : decide(snapshot)) text += (text.empty() ? "" : "; ") + std::visit(Describe{}, action);
  return text;
}

struct Case {
  std::string name;
  Snapshot snapshot;
  std::string expected;
};

void check(const std::vector<Case>& cases) {
  for (const auto& one : cases) {
    Snapshot snapshot = one.snapshot;
    snapshot.now = kNow;
    EXPECT_EQ(decided(snapshot), one.expected) << one.name;
  }
}

TEST(SchedulerTest, PlacesQueuedJobs) {
  check({
      {"no node", {.jobs = {job("j1", JobState::kQueued)}}, ""},
      {"a ready node", {.nodes = {node("n")}, .jobs = {job("j1", JobState::kQueued)}}, "start j1 n"},
      {"a draining node", {.nodes = {node("n", NodeState::kDraining)}, .jobs = {job("j1", JobState::kQueued)}}, ""},
      {"a lost node", {.nodes = {node("n", NodeState::kLost)}, .jobs = {job("j1", JobState::kQueued)}}, ""},
      {"one job a node, oldest first",
       {.nodes = {node("n")}, .jobs = {job("j1", JobState::kQueued), job("j2", JobState::kQueued)}},
       "start j1 n"},
      {"a busy node",
       {.nodes = {node("n")}, .jobs = {job("j1", JobState::kRunning, "n"), job("j2", JobState::kQueued)}},
       ""},
      {"the other node",
       {.nodes = {node("n"), node("m")}, .jobs = {job("j1", JobState::kRunning, "n"), job("j2", JobState::kQueued)}},
       "start j2 m"},
  });
}

TEST(SchedulerTest, FollowsRunningJobs) {
  auto running = [](bool cancel, const v1::TaskStatus& said) {
    return Snapshot{
        .nodes = {node("n")}, .jobs = {job("j1", JobState::kRunning, "n", cancel)}, .tasks = {{"n", {{"j1", said}}}}};
  };
  check({
      {"not taken up yet", {.nodes = {node("n")}, .jobs = {job("j1", JobState::kRunning, "n")}}, ""},
      {"prepares", running(false, status(v1::TaskStatus::STATE_PREPARING)), ""},
      {"runs", running(false, status(v1::TaskStatus::STATE_RUNNING)), ""},
      {"succeeded", running(false, status(v1::TaskStatus::STATE_SUCCEEDED)), "complete j1"},
      {"succeeded before it was cancelled", running(true, status(v1::TaskStatus::STATE_SUCCEEDED)), "complete j1"},
      {"failed", running(false, status(v1::TaskStatus::STATE_FAILED, "why")), "end j1 FAILED: why"},
      {"cancelled", running(true, status(v1::TaskStatus::STATE_STOPPED)), "end j1 CANCELLED"},
      {"stopped by nobody we know", running(false, status(v1::TaskStatus::STATE_STOPPED)),
       "end j1 FAILED: the worker was stopped on n"},
  });
  Snapshot other = running(false, status(v1::TaskStatus::STATE_RUNNING));
  other.tasks["m"]["j1"] = status(v1::TaskStatus::STATE_SUCCEEDED);
  EXPECT_EQ(decided(other), "") << "only the job's own node is believed";
}

TEST(SchedulerTest, WaitsForALostNodeBeforeItGivesAJobToAnother) {
  auto lost = [](int minutes, std::vector<registry::Node> others, bool cancel = false) {
    Snapshot made{.nodes = {node("n", NodeState::kLost, std::chrono::minutes(minutes))},
                  .jobs = {job("j1", JobState::kRunning, "n", cancel)}};
    for (auto& other : others) made.nodes.push_back(other);
    return made;
  };
  check({
      {"just lost", lost(1, {node("m")}), ""},
      {"long lost, another is free", lost(6, {node("m")}), "requeue j1"},
      {"long lost, none is free", lost(6, {}), ""},
      {"long lost, to be cancelled", lost(6, {}, true), "end j1 CANCELLED"},
  });
}

TEST(SchedulerTest, PlacesAndFollowsRevisions) {
  auto one = [](const registry::Revision& made, std::optional<v1::TaskStatus> said = std::nullopt) {
    Snapshot snapshot{.nodes = {node("n")}, .revisions = {made}};
    if (said) snapshot.tasks["n"][task_id(made)] = *said;
    return snapshot;
  };
  using S = v1::TaskStatus;
  check({
      {"to be placed", one(revision(1, RevisionState::kPending, "")), "place 1 n"},
      {"given up before it was placed", one(revision(1, RevisionState::kPending, "", false)), "observe 1 STOPPED"},
      {"starts", one(revision(1, RevisionState::kPending, "n"), status(S::STATE_PREPARING)), "observe 1 STARTING"},
      {"is ready", one(revision(1, RevisionState::kStarting, "n"), status(S::STATE_RUNNING, "", "http://e")),
       "observe 1 READY"},
      {"failed", one(revision(1, RevisionState::kStarting, "n"), status(S::STATE_FAILED, "why")),
       "observe 1 FAILED: why"},
      {"stays failed", one(revision(1, RevisionState::kFailed, "n"), status(S::STATE_FAILED)), ""},
      {"crashed and starts again", one(revision(1, RevisionState::kReady, "n"), status(S::STATE_PREPARING, "killed")),
       "observe 1 STARTING: killed"},
      {"is to stop", one(revision(1, RevisionState::kReady, "n", false), status(S::STATE_RUNNING)),
       "observe 1 STOPPING"},
      {"has stopped", one(revision(1, RevisionState::kStopping, "n", false), status(S::STATE_STOPPED)),
       "observe 1 STOPPED"},
      {"failed and unwanted", one(revision(1, RevisionState::kFailed, "n", false), status(S::STATE_FAILED)),
       "observe 1 STOPPED"},
  });
  Snapshot gone{.nodes = {node("n", NodeState::kLost, std::chrono::minutes(6))},
                .revisions = {revision(1, RevisionState::kStopping, "n", false)}};
  check({{"its node is gone for good", gone, "observe 1 STOPPED"}});
}

TEST(SchedulerTest, PutsServersWhereThereAreFewest) {
  Snapshot snapshot{.nodes = {node("n"), node("m")},
                    .revisions = {revision(1, RevisionState::kReady, "n"), revision(2, RevisionState::kPending, "")}};
  check({{"the emptier node", snapshot, "place 2 m"}});
}

TEST(SchedulerTest, RemovesADeletedDeploymentOnceNothingOfItRuns) {
  registry::Deployment deleted;
  deleted.name = "deployments/d";
  deleted.deleted = true;
  check({
      {"nothing left", {.deployments = {deleted}}, "remove deployments/d"},
      {"still stopping",
       {.nodes = {node("n")},
        .deployments = {deleted},
        .revisions = {revision(1, RevisionState::kStopping, "n", false)}},
       ""},
  });
}

}  // namespace
}  // namespace masbak::services

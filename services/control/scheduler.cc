#include "services/control/scheduler.h"

#include <algorithm>
#include <optional>
#include <set>

namespace masbak::services {
namespace {

using registry::JobState;
using registry::RevisionState;

const registry::Node* find_node(const Snapshot& snapshot, const std::string& name) {
  for (const auto& node : snapshot.nodes) {
    if (node.name == name) return &node;
  }
  return nullptr;
}

// Silent for longer than one waits.
bool is_given_up(const Snapshot& snapshot, const std::string& name) {
  const registry::Node* node = find_node(snapshot, name);
  return node == nullptr ||
         (node->state == registry::NodeState::kLost && snapshot.now - node->last_sync_time > kLostNodePatience);
}

const v1::TaskStatus* find_status(const Snapshot& snapshot, const std::string& node, const std::string& id) {
  auto tasks = snapshot.tasks.find(node);
  if (tasks == snapshot.tasks.end()) return nullptr;
  auto found = tasks->second.find(id);
  return found == tasks->second.end() ? nullptr : &found->second;
}

std::map<std::string, std::string> outputs_of(const v1::TaskStatus& status) {
  return {status.outputs().begin(), status.outputs().end()};
}

class JobRules {
 public:
  explicit JobRules(const Snapshot& snapshot) : snapshot_(snapshot) {
    for (const auto& job : snapshot.jobs) {
      if (job.state == JobState::kRunning) busy_.insert(job.node);
    }
  }

  std::optional<Action> next(const registry::Job& job) {
    if (job.state == JobState::kQueued) return start(job);
    if (const auto* status = find_status(snapshot_, job.node, job.name)) {
      if (auto action = follow(job, *status)) return action;
    }
    if (!is_given_up(snapshot_, job.node)) return std::nullopt;
    if (job.cancel_requested) return EndJob{job.name, JobState::kCancelled, "", {}};
    if (!free_node()) return std::nullopt;
    return RequeueJob{job.name, job.node + " was not heard of for minutes"};
  }

 private:
  std::optional<Action> start(const registry::Job& job) {
    const registry::Node* node = free_node();
    if (node == nullptr) return std::nullopt;
    busy_.insert(node->name);
    return StartJob{job.name, node->name};
  }

  static std::optional<Action> follow(const registry::Job& job, const v1::TaskStatus& status) {
    switch (status.state()) {
      case v1::TaskStatus::STATE_SUCCEEDED: return CompleteJob{job.name, outputs_of(status)};
      case v1::TaskStatus::STATE_FAILED: return EndJob{job.name, JobState::kFailed, status.error(), outputs_of(status)};
      case v1::TaskStatus::STATE_STOPPED:
        if (job.cancel_requested) return EndJob{job.name, JobState::kCancelled, "", outputs_of(status)};
        return EndJob{job.name, JobState::kFailed, "the worker was stopped on " + job.node, outputs_of(status)};
      default: return std::nullopt;
    }
  }

  const registry::Node* free_node() const {
    for (const auto& node : snapshot_.nodes) {
      if (node.state == registry::NodeState::kReady && busy_.count(node.name) == 0) return &node;
    }
    return nullptr;
  }

  const Snapshot& snapshot_;
  std::set<std::string> busy_;
};

// The ready node with the fewest model servers.
const registry::Node* node_for_server(const Snapshot& snapshot) {
  const registry::Node* best = nullptr;
  std::ptrdiff_t fewest = 0;
  for (const auto& node : snapshot.nodes) {
    if (node.state != registry::NodeState::kReady) continue;
    auto servers = std::count_if(snapshot.revisions.begin(), snapshot.revisions.end(),
                                 [&](const auto& revision) { return revision.node == node.name; });
    if (best == nullptr || servers < fewest) {
      best = &node;
      fewest = servers;
    }
  }
  return best;
}

RevisionState observed_state(const registry::Revision& revision, const v1::TaskStatus& status) {
  switch (status.state()) {
    case v1::TaskStatus::STATE_SUCCEEDED:
    case v1::TaskStatus::STATE_STOPPED: return RevisionState::kStopped;
    case v1::TaskStatus::STATE_FAILED: return revision.wanted ? RevisionState::kFailed : RevisionState::kStopped;
    case v1::TaskStatus::STATE_RUNNING: return revision.wanted ? RevisionState::kReady : RevisionState::kStopping;
    default: return revision.wanted ? RevisionState::kStarting : RevisionState::kStopping;
  }
}

std::optional<Action> next(const Snapshot& snapshot, const registry::Revision& revision) {
  auto observe = [&](RevisionState state, const std::string& endpoint, const std::string& error) {
    return ObserveRevision{revision.deployment, revision.generation, state, endpoint, error};
  };
  if (revision.node.empty()) {
    if (!revision.wanted) return observe(RevisionState::kStopped, "", "");
    const registry::Node* node = node_for_server(snapshot);
    if (node == nullptr) return std::nullopt;
    return PlaceRevision{revision.deployment, revision.generation, node->name};
  }
  const auto* status = find_status(snapshot, revision.node, task_id(revision));
  if (status == nullptr) {
    bool gone = !revision.wanted && is_given_up(snapshot, revision.node);
    return gone ? std::optional<Action>(observe(RevisionState::kStopped, "", "")) : std::nullopt;
  }
  RevisionState state = observed_state(revision, *status);
  bool same = state == revision.state && status->endpoint() == revision.endpoint && status->error() == revision.error;
  if (same || !registry::revision_transition_is_legal(revision.state, state)) return std::nullopt;
  return observe(state, status->endpoint(), status->error());
}

}  // namespace

std::string task_id(const registry::Revision& revision) {
  return revision.deployment + "/" + std::to_string(revision.generation);
}

std::vector<Action> decide(const Snapshot& snapshot) {
  std::vector<Action> actions;
  JobRules job_rules(snapshot);
  for (const auto& job : snapshot.jobs) {
    if (auto action = job_rules.next(job)) actions.push_back(*action);
  }
  std::set<std::string> open;
  for (const auto& revision : snapshot.revisions) {
    open.insert(revision.deployment);
    if (auto action = next(snapshot, revision)) actions.push_back(*action);
  }
  for (const auto& deployment : snapshot.deployments) {
    if (deployment.deleted && open.count(deployment.name) == 0) {
      actions.push_back(RemoveDeployment{deployment.name});
    }
  }
  return actions;
}

}  // namespace masbak::services

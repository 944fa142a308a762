// What should happen next: a pure function of what the store and the agents say. It decides; scheduler_loop
// does. Nothing here reads a clock, a file or a database.
#pragma once

#include <map>
#include <string>
#include <variant>
#include <vector>

#include "registry/types/deployment.h"
#include "registry/types/job.h"
#include "registry/types/node.h"
#include "services/control/live_tasks.h"

namespace masbak::services {

struct Snapshot {
  registry::Time now{};
  std::vector<registry::Node> nodes;
  std::vector<registry::Job> jobs;  // QUEUED and RUNNING, oldest first
  std::vector<registry::Deployment> deployments;
  std::vector<registry::Revision> revisions;  // all that have not STOPPED, oldest first
  LiveTasks::Snapshot tasks;
};

// A lost node is waited for that long; then others take over what they can.
constexpr auto kLostNodePatience = std::chrono::minutes(5);

struct StartJob {
  std::string job, node;
};
struct RequeueJob {
  std::string job, reason;
};
// FAILED or CANCELLED.
struct EndJob {
  std::string job;
  registry::JobState state;
  std::string error;
  std::map<std::string, std::string> outputs;
};
// The worker succeeded and its outputs are stored: register the version or the reports.
struct CompleteJob {
  std::string job;
  std::map<std::string, std::string> outputs;
};
struct PlaceRevision {
  std::string deployment;
  int64_t generation;
  std::string node;
};
struct ObserveRevision {
  std::string deployment;
  int64_t generation;
  registry::RevisionState state;
  std::string endpoint, error;
};
struct RemoveDeployment {
  std::string deployment;
};

using Action =
    std::variant<StartJob, RequeueJob, EndJob, CompleteJob, PlaceRevision, ObserveRevision, RemoveDeployment>;

// A node runs one job at a time, oldest first, and any number of model servers.
std::vector<Action> decide(const Snapshot& snapshot);

// The id of a revision's task.
std::string task_id(const registry::Revision& revision);

}  // namespace masbak::services

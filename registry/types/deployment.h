// Versions that serve on nodes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "registry/types/time.h"

namespace masbak::registry {

//   PENDING ─→ STARTING ←─→ READY ─→ STOPPING ─→ STOPPED
//                  └──→ FAILED ←┘───────→┘          ↑
//                          └────────────────────────┘
//
// Steps that went unobserved may be left out (PENDING → READY, STARTING → STOPPED). READY → STARTING: the server
// died and is started again. The same state again takes over endpoint and error only.
enum class RevisionState { kPending = 1, kStarting = 2, kReady = 3, kFailed = 4, kStopping = 5, kStopped = 6 };

std::string_view revision_state_name(RevisionState state);
bool revision_transition_is_legal(RevisionState from, RevisionState to);

// One attempt to serve one version: one model server process. Its task's id is "deployments/NAME/GENERATION".
struct Revision {
  std::string deployment;
  int64_t generation = 0;  // counted for the whole installation, so that a task's id is never used twice
  std::string version;
  std::string node;  // empty until placed
  int port = 0;      // wanted; 0: the node chooses
  std::string served_model_name;
  std::string base_model_name;
  RevisionState state = RevisionState::kPending;  // observed
  bool wanted = true;                             // desired: false: should end
  std::string endpoint;
  std::string error;
  Time create_time{};
  Time update_time{};
};

struct Deployment {
  std::string name;                // "deployments/pump-assistant"
  std::string previous_version;    // where a rollback leads; empty: none
  bool deleted = false;            // desired: all revisions end, then remove_deployment
  Revision target;                 // what is to serve: the latest generation
  std::optional<Revision> active;  // what answers now: the target, or the one before until the target is READY
  Time create_time{};
  Time update_time{};
  std::string creator;
  std::string etag;
};

struct DeployRequest {
  std::string name;     // "deployments/pump-assistant"
  std::string version;  // resolved: "models/…/versions/3"
  std::string node;     // empty: not yet placed
  int port = 0;
  std::string served_model_name;
  std::string base_model_name;
};

}  // namespace masbak::registry

#include "registry/types/deployment.h"

namespace masbak::registry {

std::string_view revision_state_name(RevisionState state) {
  switch (state) {
    case RevisionState::kPending: return "PENDING";
    case RevisionState::kStarting: return "STARTING";
    case RevisionState::kReady: return "READY";
    case RevisionState::kFailed: return "FAILED";
    case RevisionState::kStopping: return "STOPPING";
    case RevisionState::kStopped: return "STOPPED";
  }
  return "?";
}

bool revision_transition_is_legal(RevisionState from, RevisionState to) {
  using enum RevisionState;
  if (from == to) return true;
  switch (from) {
    case kPending: return true;
    case kStarting: return to != kPending;
    case kReady: return to != kPending;
    case kFailed: return to == kStopping || to == kStopped;
    case kStopping: return to == kFailed || to == kStopped;
    case kStopped: return false;
  }
  return false;
}

}  // namespace masbak::registry

// Follows jobs and deployments to their end.
#pragma once

#include <chrono>
#include <cstdio>
#include <string>

#include "masbak/v1/deployment.pb.h"
#include "masbak/v1/training.pb.h"
#include "programs/cli/client.h"

namespace masbak::cli {

struct WatchOptions {
  FILE* progress = stdout;  // where bars and lines go
  bool raw = false;         // instead: the lines of events.jsonl on standard output
  int64_t after_seq = 0;
  // How long a control plane that went away is waited for; events come without a gap afterwards.
  std::chrono::seconds patience{600};
};

// Returns the job as it ended. UNAVAILABLE if the control plane stays away for longer than the patience.
v1::Job watch_job(const Client& client, const std::string& name, const WatchOptions& options);

// Until the deployment's target is READY; FAILED_PRECONDITION, with the reason, if it FAILED; DEADLINE_EXCEEDED
// after `limit`.
v1::Deployment wait_until_ready(const Client& client, const std::string& name, FILE* progress,
                                std::chrono::seconds limit);

std::string job_state(const v1::Job& job);                       // "RUNNING"
std::string deployment_state(const v1::Deployment& deployment);  // "READY"

}  // namespace masbak::cli

// What happens around every call, so that no handler repeats it: who calls (the bearer token), the log line,
// and errors as statuses.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <functional>
#include <string>

#include "registry/store/store.h"

namespace masbak::services {

// One call in progress.
struct Call {
  std::string method;  // "TrainingService.CancelJob"
  registry::Actor actor;
  grpc::ServerContext& context;
};

// Thread-safe.
class Boundary {
 public:
  explicit Boundary(registry::Store& store) : store_(store) {}

  // UNAUTHENTICATED without a valid token ("authorization: Bearer …"); what `work` throws as a status; logged
  // with its duration: changes and failures at info and above, the rest at debug.
  grpc::Status run(grpc::ServerContext* context, const char* method,
                   const std::function<void(const Call&)>& work) const;

 private:
  registry::Actor authenticate(const grpc::ServerContext& context) const;

  registry::Store& store_;
};

}  // namespace masbak::services

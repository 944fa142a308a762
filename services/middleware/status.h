// Errors on the wire: base::Error as grpc::Status with google.rpc.ErrorInfo, and back.
#pragma once

#include <grpcpp/support/status.h>

#include <string>

#include "base/error.h"

namespace masbak::services {

// The code and message unchanged; file, line and field travel in ErrorInfo's metadata (AIP-193), its
// domain is "masbak".
grpc::Status to_status(const base::Error& error);

// The inverse, for clients. `doing` is put before the message of a failed connection ("reaching the
// control plane at 127.0.0.1:7443"), which alone would not say who was asked. `status` must not be OK.
base::Error from_status(const grpc::Status& status, const std::string& doing);

}  // namespace masbak::services

// A change that a client may repeat: request_id and validate_only, for every request message that has them.
#pragma once

#include <string>

#include "base/digest.h"
#include "registry/store/store.h"
#include "services/middleware/boundary.h"

namespace masbak::services {

// The bytes of the request without its request_id, always the same for the same content.
template <typename Request>
std::string arguments_digest(Request request) {
  request.clear_request_id();
  return base::digest_bytes(request.SerializeAsString());
}

template <typename Request>
registry::RequestKey request_key(const Call& call, const Request& request) {
  return {request.request_id(), call.method, arguments_digest(request)};
}

// Runs `work` (Writer& → Response) in one transaction, at most once a request_id: a repeat gets the first
// response (AIP-155). With validate_only everything is checked and nothing stays (AIP-163).
template <typename Response, typename Request, typename Work>
Response change_once(registry::Store& store, const Call& call, const Request& request, const Work& work) {
  if constexpr (requires { request.validate_only(); }) {
    if (request.validate_only()) {
      struct RolledBack {
        Response response;
      };
      try {
        store.write(call.actor, [&](registry::Writer& writer) { throw RolledBack{work(writer)}; });
      } catch (RolledBack& rolled_back) {
        return std::move(rolled_back.response);
      }
    }
  }
  std::string bytes = store.once(call.actor, request_key(call, request),
                                 [&](registry::Writer& writer) { return Response(work(writer)).SerializeAsString(); });
  Response response;
  response.ParseFromString(bytes);
  return response;
}

}  // namespace masbak::services

#include "services/middleware/boundary.h"

#include <chrono>
#include <string_view>

#include "base/digest.h"
#include "base/error.h"
#include "base/log.h"
#include "services/middleware/status.h"

namespace masbak::services {
namespace {

// Calls that come all the time and change nothing that a person decided.
bool is_quiet(std::string_view method) {
  std::string_view verb = method.substr(method.find('.') + 1);
  for (std::string_view prefix : {"Get", "List", "Watch", "Sync", "Download"}) {
    if (verb.substr(0, prefix.size()) == prefix) return true;
  }
  return false;
}

grpc::Status run_guarded(const std::function<void()>& work) {
  try {
    work();
    return grpc::Status::OK;
  } catch (const base::Error& error) {
    return to_status(error);
  } catch (const std::exception& error) {
    return to_status(base::Error(base::Code::kInternal, error.what()));
  }
}

}  // namespace

grpc::Status Boundary::run(grpc::ServerContext* context, const char* method,
                           const std::function<void(const Call&)>& work) const {
  auto start = std::chrono::steady_clock::now();
  std::string who = "nobody";
  grpc::Status status = run_guarded([&] {
    Call call{method, authenticate(*context), *context};
    who = call.actor.name;
    work(call);
  });
  auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
  std::string line = std::string(method) + " by " + who + " in " + std::to_string(took.count()) + " ms";
  if (!status.ok()) {
    std::string code(base::code_name(static_cast<base::Code>(status.error_code())));
    base::log_warn(line + ": " + code + ": " + status.error_message());
  } else if (is_quiet(method)) {
    base::log_debug(line);
  } else {
    base::log_info(line);
  }
  return status;
}

registry::Actor Boundary::authenticate(const grpc::ServerContext& context) const {
  constexpr std::string_view scheme = "Bearer ";
  auto found = context.client_metadata().find("authorization");
  if (found == context.client_metadata().end()) {
    throw base::Error(base::Code::kUnauthenticated,
                      "expected a token (metadata \"authorization: Bearer …\"), found none: take the one in the "
                      "file `token` of the control plane's data folder");
  }
  std::string value(found->second.data(), found->second.size());
  if (value.compare(0, scheme.size(), scheme) == 0) {
    std::string digest = base::digest_bytes(value.substr(scheme.size()));
    auto user = store_.read([&](const registry::Reader& reader) { return reader.find_user_of_token(digest); });
    if (user) return {user->name};
  }
  throw base::Error(base::Code::kUnauthenticated,
                    "the token is unknown, revoked or expired: ask an administrator for a new one");
}

}  // namespace masbak::services

// The registry's one state: PostgreSQL. Everything that must survive a restart is here or in registry/artifacts.
//
//   Store store({.url = server.url()});
//   Version version = store.write({"users/salma"}, [&](Writer& writer) {
//     writer.update_job(job.name, {.state = JobState::kSucceeded});
//     return writer.create_version(found);
//   });
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "registry/store/reader.h"
#include "registry/store/writer.h"

namespace masbak::registry {

struct StoreOptions {
  std::string url;      // libpq's: "postgresql:///masbak?host=/run/x" or "host=/run/x dbname=masbak user=masbak"
  int connections = 8;  // at most this many at once; a caller beyond waits
  bool migrate = true;  // bring an older schema up to this program's; false: FAILED_PRECONDITION if it is older
  // How long a lost connection is tried again before UNAVAILABLE, in all, for one call.
  std::chrono::milliseconds patience = std::chrono::seconds(10);
};

// Who acts, for the audit log.
struct Actor {
  std::string name;  // "users/salma", "nodes/local", "system"
};

// A call that a client may repeat without a second effect.
struct RequestKey {
  std::string request_id;        // empty: not remembered
  std::string method;            // "RegistryService.PromoteVersion"
  std::string arguments_digest;  // of the request without its request_id
};

// Thread-safe. The work given to a call may run several times (a serialization failure, a deadlock or a lost
// connection is retried), so it must not change anything but through the Writer, and returns its result.
// Whatever it throws rolls the transaction back and comes out unchanged; pqxx's errors come out as base::Error:
// UNAVAILABLE if the database cannot be reached, RESOURCE_EXHAUSTED for a full disk, else INTERNAL.
// A call that returns has been committed to disk. A commit whose answer was lost is looked up, never repeated blindly.
class Store {
 public:
  // Connects and migrates. FAILED_PRECONDITION if the database is newer than this program.
  explicit Store(const StoreOptions& options);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // A read-only snapshot.
  template <typename Work>
  auto read(const Work& work) -> std::invoke_result_t<Work, const Reader&> {
    using Result = std::invoke_result_t<Work, const Reader&>;
    if constexpr (std::is_void_v<Result>) {
      run_read(work);
    } else {
      std::optional<Result> result;
      run_read([&](const Reader& reader) { result.emplace(work(reader)); });
      return std::move(*result);
    }
  }

  template <typename Work>
  auto write(const Actor& actor, const Work& work) -> std::invoke_result_t<Work, Writer&> {
    using Result = std::invoke_result_t<Work, Writer&>;
    if constexpr (std::is_void_v<Result>) {
      run_write(actor, work);
    } else {
      std::optional<Result> result;
      run_write(actor, [&](Writer& writer) { result.emplace(work(writer)); });
      return std::move(*result);
    }
  }

  // A write whose response (serialized bytes) is remembered under the key in the same transaction: a repeat, even
  // at the same time or after a restart, returns the first response and does nothing. INVALID_ARGUMENT if the
  // request_id was used with this method and other arguments, or by another actor. Work that throws is not
  // remembered.
  std::string once(const Actor& actor, const RequestKey& key, const std::function<std::string(Writer&)>& work);
  // The response remembered, if any, with the same checks: for calls whose work is long before they write.
  std::optional<std::string> remembered(const Actor& actor, const RequestKey& key);
  // Forgets responses older than that; returns how many.
  int64_t forget_requests(std::chrono::hours older_than);

  int schema_version() const;

 private:
  void run_read(const std::function<void(const Reader&)>& work);
  void run_write(const Actor& actor, const std::function<void(Writer&)>& work);

  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace masbak::registry

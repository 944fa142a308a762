// Calls that a client may repeat without a second effect.
#include <pqxx/pqxx>

#include "registry/store/session.h"
#include "registry/store/store.h"

namespace masbak::registry {
namespace {

// The key under which another call left its response, checked against this one.
std::optional<std::string> response_of(Session& session, const RequestKey& key) {
  const pqxx::result rows =
      session.exec("SELECT actor, arguments_digest, response FROM requests WHERE method = $1 AND request_id = $2",
                   key.method, key.request_id);
  if (rows.empty()) return std::nullopt;
  if (text(rows[0], "actor") != session.actor() || text(rows[0], "arguments_digest") != key.arguments_digest) {
    base::fail_input("request_id '" + key.request_id + "' was used before for a different " + key.method +
                         ": use a new one for each new call",
                     {.field = "request_id"});
  }
  return pqxx::binarystring(rows[0]["response"]).str();
}

}  // namespace

std::string Store::once(const Actor& actor, const RequestKey& key, const std::function<std::string(Writer&)>& work) {
  if (key.request_id.empty()) return write(actor, work);
  return write(actor, [&](Writer& writer) -> std::string {
    Session& session = writer.session();
    // Waits here while another call with the same key is under way.
    const pqxx::result claimed = session.exec(
        "INSERT INTO requests (method, request_id, actor, arguments_digest) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT DO NOTHING RETURNING 1",
        key.method, key.request_id, session.actor(), key.arguments_digest);
    if (claimed.empty()) {
      if (std::optional<std::string> response = response_of(session, key)) return *response;
      throw pqxx::transaction_rollback("the request was forgotten just now");
    }
    std::string response = work(writer);
    session.exec("UPDATE requests SET response = $3 WHERE method = $1 AND request_id = $2", key.method, key.request_id,
                 pqxx::binarystring(response));
    return response;
  });
}

std::optional<std::string> Store::remembered(const Actor& actor, const RequestKey& key) {
  if (key.request_id.empty()) return std::nullopt;
  return write(actor, [&](Writer& writer) { return response_of(writer.session(), key); });
}

int64_t Store::forget_requests(std::chrono::hours older_than) {
  return write(Actor{"system"}, [&](Writer& writer) -> int64_t {
    return writer.session()
        .exec("DELETE FROM requests WHERE time < now() - make_interval(hours => $1::int)",
              static_cast<int>(older_than.count()))
        .affected_rows();
  });
}

}  // namespace masbak::registry

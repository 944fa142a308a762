// One open transaction: runs statements, collects audit records until the commit. For the store's own files.
#pragma once

#include <chrono>
#include <pqxx/pqxx>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/document.h"
#include "base/error.h"
#include "registry/types/page.h"
#include "registry/types/time.h"

namespace masbak::registry {

class Session {
 public:
  Session(pqxx::transaction_base& transaction, const std::string& page_key, const std::string& actor)
      : transaction_(transaction), page_key_(page_key), actor_(actor) {}

  // INVALID_ARGUMENT for text with a NUL, which PostgreSQL cannot hold.
  template <typename... Arguments>
  pqxx::result exec(const std::string& sql, const Arguments&... arguments) {
    (check_text(arguments), ...);
    return transaction_.exec_params(sql, arguments...);
  }

  const std::string& actor() const { return actor_; }
  const std::string& page_key() const { return page_key_; }

  // Notes an audit record, written by flush_audit.
  void record(std::string action, std::string resource, base::Json detail = base::Json::object()) {
    pending_.push_back({std::move(action), std::move(resource), detail.dump()});
  }
  void record_text(std::string action, std::string resource, std::string detail_json) {
    pending_.push_back({std::move(action), std::move(resource), std::move(detail_json)});
  }
  // Adds the noted records to the chain. Last before the commit: it locks the head of the chain, for which every
  // other writer then waits.
  void flush_audit();

 private:
  struct Pending {
    std::string action, resource, detail_json;
  };
  static void check_text(std::string_view text);
  template <typename T>
  requires(!std::is_convertible_v<const T&, std::string_view>) static void check_text(const T&) {}

  pqxx::transaction_base& transaction_;
  const std::string& page_key_;
  const std::string& actor_;
  std::vector<Pending> pending_;
};

inline int64_t to_micros(Time time) { return time.time_since_epoch().count(); }
inline Time from_micros(int64_t micros) { return Time(std::chrono::microseconds(micros)); }

// Columns by name. A NULL text is "", a NULL number 0, a NULL time unset.
inline std::string text(const pqxx::row& row, const char* column) { return row[column].as<std::string>(""); }
inline int64_t whole(const pqxx::row& row, const char* column) { return row[column].as<int64_t>(0); }
inline int small(const pqxx::row& row, const char* column) { return row[column].as<int>(0); }
inline double real(const pqxx::row& row, const char* column) { return row[column].as<double>(0.0); }
inline bool truth(const pqxx::row& row, const char* column) { return row[column].as<bool>(false); }
// The column must hold micros(…).
inline Time instant(const pqxx::row& row, const char* column) { return from_micros(whole(row, column)); }

[[noreturn]] inline void fail(base::Code code, const std::string& message) { throw base::Error(code, message); }

// INVALID_ARGUMENT, located at `field`, unless it is a digest (or empty, if that is allowed).
void require_digest(const std::string& digest, const std::string& field, bool may_be_empty = false);

// A short tag of a thing's content: it changes when any of the parts does.
std::string make_etag(const std::vector<std::string>& parts);
// ABORTED if a tag is expected and it is another.
void check_etag(const std::string& expected, const std::string& current, const std::string& name);

// Seals and opens page tokens; `list` names the list with its filter.
std::string seal_page_token(const std::string& key, const std::string& list, int64_t number);
int64_t open_page_token(const std::string& key, const std::string& list, const std::string& token);
int page_size(const PageRequest& page);

// One page of `select`, a statement without ORDER BY whose column `number` is the order and which has "{page}" where
// the condition on it belongs. `arguments` fill $3 and following.
template <typename T, typename Parse, typename... Arguments>
Page<T> read_page(Session& session, const std::string& list, const PageRequest& page, std::string select,
                  const std::string& number, Parse parse, const Arguments&... arguments) {
  const int size = page_size(page);
  const int64_t below = open_page_token(session.page_key(), list, page.token);
  const std::string mark = "{page}";
  select.replace(select.find(mark), mark.size(), number + " < $1");
  const pqxx::result rows =
      session.exec(select + " ORDER BY " + number + " DESC LIMIT $2", below, size + 1, arguments...);
  Page<T> result;
  for (const pqxx::row& row : rows) {
    if (static_cast<int>(result.items.size()) == size) {
      result.next = seal_page_token(session.page_key(), list, whole(rows[rows.size() - 2], "number"));
      break;
    }
    result.items.push_back(parse(row));
  }
  return result;
}

}  // namespace masbak::registry

#include "registry/store/store.h"

#include <algorithm>
#include <pqxx/pqxx>
#include <random>
#include <thread>

#include "base/log.h"
#include "registry/migrations/migrations.h"
#include "registry/store/connection_pool.h"
#include "registry/store/session.h"

namespace masbak::registry {
namespace {

using Clock = std::chrono::steady_clock;
using Snapshot = pqxx::transaction<pqxx::repeatable_read, pqxx::read_only>;

constexpr int kMostConflicts = 50;

// Waits longer from attempt to attempt, by chance, so that those in conflict do not meet again.
void back_off(int attempt, Clock::time_point deadline) {
  thread_local std::minstd_rand chance(std::random_device{}());
  const int most_ms = std::min(500, 2 << std::min(attempt, 8));
  const auto pause = std::chrono::milliseconds(std::uniform_int_distribution<int>(1, most_ms)(chance));
  std::this_thread::sleep_until(std::min(Clock::now() + pause, deadline));
}

std::string one_line(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

// What a statement's fault means to a caller.
[[noreturn]] void translate(const pqxx::sql_error& fault) {
  const std::string state = fault.sqlstate();
  const std::string message = one_line(fault.what());
  if (state == "22021" || state == "22P05") {
    base::fail_input("expected UTF-8 text: " + message);
  }
  if (state.starts_with("53")) {
    throw base::Error(base::Code::kResourceExhausted,
                      "the database is out of room or memory: free some, then repeat: " + message);
  }
  throw base::Error(base::Code::kInternal, "a statement of the registry failed (SQLSTATE " + state + "): " + message);
}

// The server is going down or lost: the statement may be repeated on another connection.
bool is_lost(const pqxx::sql_error& fault) {
  const std::string state = fault.sqlstate();
  return state.starts_with("08") || state.starts_with("57P");
}

}  // namespace

struct Store::State {
  explicit State(const StoreOptions& options) : options(options), pool(options.url, std::max(1, options.connections)) {}

  StoreOptions options;
  ConnectionPool pool;
  std::string page_key;
  int version = 0;

  [[noreturn]] void unavailable(const std::string& why) const {
    throw base::Error(base::Code::kUnavailable,
                      "the registry's database does not answer: " + one_line(why) +
                          "; start it (masbak up) or check the database address, then repeat");
  }

  // Runs `attempt` until it returns; conflicts and lost connections are tried again.
  template <typename Attempt>
  void retry(const Attempt& attempt) {
    const Clock::time_point deadline = Clock::now() + options.patience;
    int tries = 0;
    int conflicts = 0;
    const auto lost = [&](const std::string& why) {
      if (Clock::now() >= deadline) unavailable(why);
      back_off(tries++, deadline);
    };
    for (;;) {
      try {
        attempt(deadline);
        return;
      } catch (const pqxx::transaction_rollback& fault) {
        if (++conflicts > kMostConflicts) {
          throw base::Error(base::Code::kAborted,
                            "too many others change the same at once: repeat later: " + one_line(fault.what()));
        }
        back_off(conflicts, deadline);
      } catch (const pqxx::sql_error& fault) {
        if (!is_lost(fault)) translate(fault);
        lost(fault.what());
      } catch (const pqxx::broken_connection& fault) {
        lost(fault.what());
      } catch (const pqxx::failure& fault) {
        throw base::Error(base::Code::kInternal, "the registry's database: " + one_line(fault.what()));
      } catch (const pqxx::pqxx_exception& fault) {
        throw base::Error(base::Code::kInternal, "the registry's database: " + one_line(fault.base().what()));
      }
    }
  }

  // The answer to a commit was lost: asks the server what became of that transaction. True: it was committed.
  bool was_committed(const std::string& transaction_id, Clock::time_point deadline) {
    for (int tries = 0;; ++tries) {
      try {
        ConnectionPool::Lease lease = pool.take(deadline);
        pqxx::nontransaction work(*lease);
        const pqxx::row row = work.exec_params1("SELECT pg_xact_status($1::xid8)", transaction_id);
        const std::string status = row[0].as<std::string>("");
        if (status == "committed") return true;
        if (status == "aborted") return false;
        // Else it is still in progress: the server has not noticed yet that we are gone.
      } catch (const pqxx::broken_connection& fault) {
        base::log_debug(std::string("looking up a commit: ") + fault.what());
      } catch (const pqxx::sql_error& fault) {
        if (!is_lost(fault)) throw;
      }
      if (Clock::now() >= deadline) {
        throw base::Error(base::Code::kUnavailable,
                          "the connection was lost while a change was being committed, and the database does not "
                          "answer: read the state again, or repeat with the same request_id");
      }
      back_off(tries, deadline);
    }
  }

  void commit(ConnectionPool::Lease& lease, pqxx::work& transaction, const std::string& transaction_id,
              Clock::time_point deadline) {
    try {
      transaction.commit();
      return;
    } catch (const pqxx::in_doubt_error&) {
    } catch (const pqxx::broken_connection&) {
    } catch (const pqxx::sql_error&) {
      if (lease->is_open()) throw;
    }
    if (!was_committed(transaction_id, deadline)) throw pqxx::broken_connection("lost before the commit");
  }
};

Store::Store(const StoreOptions& options) : state_(std::make_unique<State>(options)) {
  state_->retry([&](Clock::time_point deadline) {
    ConnectionPool::Lease lease = state_->pool.take(deadline);
    const int known = migrations().back().version;
    if (options.migrate) {
      migrate(*lease, migrations(), known);
    } else if (const int found = registry::schema_version(*lease); found != known) {
      fail(base::Code::kFailedPrecondition, "expected schema version " + std::to_string(known) + ", found " +
                                                std::to_string(found) + ": start masbak-controld once to migrate");
    }
    state_->version = known;
    pqxx::work work(*lease);
    state_->page_key = work.exec1("SELECT page_key FROM installation")[0].as<std::string>();
  });
}

Store::~Store() = default;

int Store::schema_version() const { return state_->version; }

void Store::run_read(const std::function<void(const Reader&)>& work) {
  const std::string nobody;
  state_->retry([&](Clock::time_point deadline) {
    ConnectionPool::Lease lease = state_->pool.take(deadline);
    Snapshot transaction(*lease);
    Session session(transaction, state_->page_key, nobody);
    work(Reader(session));
    transaction.commit();
  });
}

void Store::run_write(const Actor& actor, const std::function<void(Writer&)>& work) {
  if (actor.name.empty()) base::fail_input("a change needs an actor", {.field = "actor"});
  state_->retry([&](Clock::time_point deadline) {
    ConnectionPool::Lease lease = state_->pool.take(deadline);
    pqxx::work transaction(*lease);
    Session session(transaction, state_->page_key, actor.name);
    Writer writer(session);
    work(writer);
    session.flush_audit();
    const std::string transaction_id = transaction.exec1("SELECT pg_current_xact_id()::text")[0].as<std::string>();
    state_->commit(lease, transaction, transaction_id, deadline);
  });
}

}  // namespace masbak::registry

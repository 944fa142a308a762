#include "registry/migrations/migrations.h"

#include <pqxx/pqxx>

#include "base/error.h"
#include "base/log.h"

namespace masbak::registry {
namespace {

// "masbak" in ASCII: a number that no other program's advisory lock is likely to use.
constexpr long long kLockKey = 0x6d617362616b;

// Holds the advisory lock of the session; it goes with the connection if the program dies.
class MigrationLock {
 public:
  explicit MigrationLock(pqxx::connection_base& connection) : connection_(connection) {
    pqxx::nontransaction work(connection_);
    work.exec_params("SELECT pg_advisory_lock($1)", kLockKey);
  }
  ~MigrationLock() {
    try {
      pqxx::nontransaction work(connection_);
      work.exec_params("SELECT pg_advisory_unlock($1)", kLockKey);
    } catch (const std::exception& fault) {
      base::log_warn(std::string("the lock of the migrations goes with its connection: ") + fault.what());
    }
  }

 private:
  pqxx::connection_base& connection_;
};

int read_version(pqxx::transaction_base& work) {
  if (work.exec1("SELECT to_regclass('schema_version') IS NULL")[0].as<bool>()) return 0;
  return work.exec1("SELECT coalesce(max(version), 0) FROM schema_version")[0].as<int>();
}

void apply(pqxx::connection_base& connection, const Migration& step, bool up) {
  pqxx::work work(connection);
  work.exec(up ? step.up : step.down);
  if (up) {
    work.exec(
        "CREATE TABLE IF NOT EXISTS schema_version (version int PRIMARY KEY, name text NOT NULL, "
        "apply_time timestamptz NOT NULL DEFAULT now())");
    work.exec_params("INSERT INTO schema_version (version, name) VALUES ($1, $2)", step.version, step.name);
  } else {
    work.exec_params("DELETE FROM schema_version WHERE version = $1", step.version);
  }
  work.commit();
}

}  // namespace

int schema_version(pqxx::connection_base& connection) {
  pqxx::work work(connection);
  return read_version(work);
}

int migrate(pqxx::connection_base& connection, const std::vector<Migration>& steps, int target) {
  MigrationLock lock(connection);
  const int found = schema_version(connection);
  const int known = steps.empty() ? 0 : steps.back().version;
  if (found > known) {
    throw base::Error(base::Code::kFailedPrecondition,
                      "the database has schema version " + std::to_string(found) +
                          ", this program knows versions up to " + std::to_string(known) +
                          ": install the newer Masbak that wrote it, or restore a backup");
  }
  for (const Migration& step : steps) {
    if (step.version > found && step.version <= target) apply(connection, step, true);
  }
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    if (step->version <= found && step->version > target) apply(connection, *step, false);
  }
  return found;
}

}  // namespace masbak::registry

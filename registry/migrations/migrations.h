// The schema's history: numbered steps, each with its way back.
#pragma once

#include <string>
#include <vector>

namespace pqxx {
class connection_base;
}

namespace masbak::registry {

struct Migration {
  int version = 0;  // 1, 2, 3, … without gaps
  std::string name;
  std::string up;
  std::string down;
};

// Those in this program, in order; embedded from registry/migrations/*.sql.
const std::vector<Migration>& migrations();

// 0 for a database without our schema.
int schema_version(pqxx::connection_base& connection);

// Brings the schema to `target`, up or down, each step in a transaction of its own, under a lock that keeps a
// second program out meanwhile. FAILED_PRECONDITION if the database is newer than `steps` knows. Returns the
// version that was found.
int migrate(pqxx::connection_base& connection, const std::vector<Migration>& steps, int target);

}  // namespace masbak::registry

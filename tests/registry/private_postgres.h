// A real PostgreSQL for a test, with an empty database for each store.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "registry/server/postgres_server.h"
#include "registry/store/store.h"

namespace masbak::registry {

// A folder that goes with the object. Below /tmp, where the server's user may go.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// One server for the whole test program, without fsync; stopped at its end.
PostgresServer& test_server();

// The address of a new, empty database on it.
std::string new_database();

// Runs SQL behind the store's back.
void run_sql(const std::string& url, const std::string& sql);

// "sha256:" of the text.
std::string digest(const std::string& text);

}  // namespace masbak::registry

#include "tests/registry/private_postgres.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <optional>
#include <pqxx/pqxx>

#include "base/digest.h"

// libpqxx 6.4 does not free the result of a statement whose connection was lost: a few hundred bytes each time.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:PQmakeEmptyPGresult\n"; }

namespace masbak::registry {
namespace {

// Lives from the first use to the end of the tests, whatever their order.
class Environment : public ::testing::Environment {
 public:
  void TearDown() override {
    server.reset();
    folder.reset();
  }
  std::optional<TemporaryFolder> folder;
  std::optional<PostgresServer> server;
};

Environment* environment = static_cast<Environment*>(::testing::AddGlobalTestEnvironment(new Environment));

}  // namespace

TemporaryFolder::TemporaryFolder() {
  std::string pattern = "/tmp/masbak-test-XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
  path_ = pattern;
  std::filesystem::permissions(path_, std::filesystem::perms(0755));
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

PostgresServer& test_server() {
  if (!environment->server) {
    environment->folder.emplace();
    environment->server.emplace(PostgresServer::start({.data = environment->folder->path(), .durable = false}));
  }
  return *environment->server;
}

std::string new_database() {
  static std::atomic<int> counter{0};
  const std::string name = "test" + std::to_string(++counter);
  run_sql(test_server().url(), "CREATE DATABASE " + name);
  std::string url = test_server().url();
  const std::string was = "dbname=masbak";
  return url.replace(url.find(was), was.size(), "dbname=" + name);
}

void run_sql(const std::string& url, const std::string& sql) {
  pqxx::connection connection(url);
  pqxx::nontransaction(connection).exec(sql);
}

std::string digest(const std::string& text) { return base::digest_bytes(text); }

}  // namespace masbak::registry

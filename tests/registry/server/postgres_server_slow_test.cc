// The private PostgreSQL: started, stopped, killed, taken over, and impossible to start.
#include "registry/server/postgres_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <pqxx/pqxx>
#include <thread>

#include "base/durable_file.h"
#include "base/error.h"
#include "base/process.h"
#include "tests/registry/private_postgres.h"

namespace masbak::registry {
namespace {

namespace fs = std::filesystem;
using base::Code;
using ::testing::HasSubstr;

PostgresServer start(const fs::path& data) { return PostgresServer::start({.data = data, .durable = false}); }

base::Error error_of_start(const PostgresOptions& options) {
  try {
    PostgresServer::start(options);
  } catch (const base::Error& error) {
    return error;
  }
  return base::Error(Code::kUnknown, "nothing was thrown");
}

TEST(PostgresServerTest, KeepsWhatWasWrittenOverARestart) {
  TemporaryFolder folder;
  pid_t first = 0;
  {
    PostgresServer server = start(folder.path());
    first = server.pid();
    EXPECT_TRUE(server.running());
    run_sql(server.url(), "CREATE TABLE kept (n int)");
    pqxx::connection connection(server.url());
    EXPECT_EQ(pqxx::nontransaction(connection).exec1("SHOW listen_addresses")[0].as<std::string>(), "");
  }
  EXPECT_NE(::kill(first, 0), 0);
  PostgresServer server = start(folder.path());
  EXPECT_NO_THROW(run_sql(server.url(), "INSERT INTO kept VALUES (1)"));
}

TEST(PostgresServerTest, SurvivesAKillAndItsStaleFile) {
  TemporaryFolder folder;
  std::optional<PostgresServer> server(start(folder.path()));
  run_sql(server->url(), "CREATE TABLE kept (n int)");
  ::kill(server->pid(), SIGKILL);
  while (server->running()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  const fs::path pid_file = server->cluster() / "postmaster.pid";
  server.reset();
  ASSERT_TRUE(fs::exists(pid_file));
  // The worst case: the id now belongs to a process of somebody else.
  std::string text = base::read_file(pid_file);
  text.replace(0, text.find('\n'), std::to_string(::getpid()));
  std::ofstream(pid_file) << text;
  server.emplace(start(folder.path()));
  EXPECT_NO_THROW(run_sql(server->url(), "INSERT INTO kept VALUES (1)"));
}

TEST(PostgresServerTest, TakesOverTheServerOfAnEarlierLife) {
  TemporaryFolder folder;
  pid_t pid = 0;
  {
    PostgresServer earlier = start(folder.path());
    pid = earlier.pid();
    run_sql(earlier.url(), "CREATE TABLE kept (n int)");
    earlier.release();
  }
  PostgresServer server = start(folder.path());
  EXPECT_EQ(server.pid(), pid);
  EXPECT_NO_THROW(run_sql(server.url(), "INSERT INTO kept VALUES (1)"));
  server.stop();
  EXPECT_FALSE(server.running());
}

TEST(PostgresServerTest, OneInstallationAFolder) {
  TemporaryFolder folder;
  PostgresServer server = start(folder.path());
  const base::Error error = error_of_start({.data = folder.path()});
  EXPECT_EQ(error.code(), Code::kFailedPrecondition);
  EXPECT_THAT(error.describe(), HasSubstr("masbak down"));
  EXPECT_TRUE(server.running());
}

TEST(PostgresServerTest, SaysWhyItCannotBeStarted) {
  TemporaryFolder folder;
  fs::path cluster;
  {
    PostgresServer server = start(folder.path());
    cluster = server.cluster();
  }
  std::ofstream(cluster / "postgresql.conf", std::ios::app) << "shared_buffers = nonsense\n";
  const base::Error error = error_of_start({.data = folder.path()});
  EXPECT_EQ(error.code(), Code::kUnavailable);
  EXPECT_THAT(error.describe(), HasSubstr("PostgreSQL cannot be started"));
  EXPECT_THAT(error.describe(), HasSubstr("configuration file"));
  EXPECT_THAT(error.describe(), HasSubstr("log/postgres.log"));
}

TEST(PostgresServerTest, HalfMadeClusterIsMadeAnew) {
  TemporaryFolder folder;
  fs::create_directories(folder.path() / "postgres.unfinished" / "base");
  fs::create_directories(folder.path() / "postgres");
  EXPECT_NO_THROW(start(folder.path()));
  EXPECT_FALSE(fs::exists(folder.path() / "postgres.unfinished"));
}

TEST(PostgresServerTest, MissingProgramsAndOtherVersions) {
  TemporaryFolder folder;
  EXPECT_EQ(error_of_start({.data = folder.path(), .programs = folder.path()}).code(), Code::kNotFound);
  fs::create_directories(folder.path() / "postgres");
  std::ofstream(folder.path() / "postgres" / "PG_VERSION") << "9\n";
  const base::Error error = error_of_start({.data = folder.path()});
  EXPECT_EQ(error.code(), Code::kFailedPrecondition);
  EXPECT_THAT(error.describe(), HasSubstr("PostgreSQL 9"));
}

TEST(PostgresServerTest, LongAndOddFolderNamesWork) {
  TemporaryFolder folder;
  const fs::path data = folder.path() / (std::string(90, 'x') + " it's a 'long' name");
  PostgresServer server = start(data);
  EXPECT_NO_THROW(run_sql(server.url(), "SELECT 1"));
}

TEST(PostgresServerTest, FolderThatTheServersUserCannotReach) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root starts the server as another user";
  TemporaryFolder folder;
  fs::permissions(folder.path(), fs::perms(0700));
  fs::path first;
  {
    PostgresServer server = start(folder.path() / "data");
    first = server.cluster();
    EXPECT_THAT(first.string(), HasSubstr("/var/lib/masbak/postgres-"));
    EXPECT_NO_THROW(run_sql(server.url(), "CREATE TABLE kept (number integer)"));
  }
  // A data folder that was moved finds its database; a new one in the old place has an empty one of its own.
  fs::rename(folder.path() / "data", folder.path() / "moved");
  EXPECT_NO_THROW(run_sql(start(folder.path() / "moved").url(), "SELECT * FROM kept"));
  PostgresServer other = start(folder.path() / "data");
  EXPECT_NE(other.cluster(), first);
  EXPECT_ANY_THROW(run_sql(other.url(), "SELECT * FROM kept"));
  other.stop();
  fs::remove_all(first);
  fs::remove_all(other.cluster());
}

}  // namespace
}  // namespace masbak::registry

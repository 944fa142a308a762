// The schema goes up and down, once, and never back from what a newer program wrote.
#include "registry/migrations/migrations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <pqxx/pqxx>
#include <thread>

#include "base/error.h"
#include "registry/store/store.h"
#include "tests/registry/private_postgres.h"

namespace masbak::registry {
namespace {

// Everything in the schema but the table of versions itself.
std::vector<std::string> things_in(pqxx::connection& connection) {
  pqxx::work work(connection);
  std::vector<std::string> names;
  for (const pqxx::row& row :
       work.exec("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
                 "AND relname NOT LIKE 'schema_version%' "
                 "UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace")) {
    names.push_back(row[0].as<std::string>());
  }
  return names;
}

TEST(MigrationsTest, AreNumberedWithoutGaps) {
  ASSERT_FALSE(migrations().empty());
  int expected = 1;
  for (const Migration& step : migrations()) {
    EXPECT_EQ(step.version, expected++);
    EXPECT_FALSE(step.down.empty()) << step.name;
  }
}

TEST(MigrationsTest, GoUpDownAndUpAgain) {
  const std::string url = new_database();
  pqxx::connection connection(url);
  const int latest = migrations().back().version;
  EXPECT_EQ(migrate(connection, migrations(), latest), 0);
  EXPECT_EQ(schema_version(connection), latest);
  EXPECT_EQ(migrate(connection, migrations(), latest), latest);
  EXPECT_EQ(migrate(connection, migrations(), 0), latest);
  EXPECT_EQ(schema_version(connection), 0);
  EXPECT_THAT(things_in(connection), ::testing::IsEmpty());
  migrate(connection, migrations(), latest);
  EXPECT_EQ(Store({.url = url}).schema_version(), latest);
}

TEST(MigrationsTest, SeveralProgramsAtOnceMigrateOnce) {
  const std::string url = new_database();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { EXPECT_NO_THROW(Store({.url = url, .connections = 1})); });
  for (std::thread& thread : threads) thread.join();
}

TEST(MigrationsTest, FailedStepLeavesTheVersionBefore) {
  pqxx::connection connection(new_database());
  const std::vector<Migration> steps = {{1, "one", "CREATE TABLE one ()", "DROP TABLE one"},
                                        {2, "two", "CREATE TABLE two (); SELECT 1/0", "DROP TABLE two"}};
  EXPECT_THROW(migrate(connection, steps, 2), pqxx::sql_error);
  EXPECT_EQ(schema_version(connection), 1);
  EXPECT_THAT(things_in(connection), ::testing::ElementsAre("one"));
}

TEST(MigrationsTest, NewerDatabaseIsRefused) {
  const std::string url = new_database();
  Store({.url = url});
  run_sql(url, "INSERT INTO schema_version (version, name) VALUES (999, 'future')");
  try {
    Store({.url = url});
    FAIL() << "nothing was thrown";
  } catch (const base::Error& error) {
    EXPECT_EQ(error.code(), base::Code::kFailedPrecondition);
    EXPECT_THAT(error.describe(), ::testing::HasSubstr("999"));
  }
}

TEST(MigrationsTest, OldSchemaIsRefusedWhereMigrationIsOff) {
  try {
    Store({.url = new_database(), .migrate = false});
    FAIL() << "nothing was thrown";
  } catch (const base::Error& error) {
    EXPECT_EQ(error.code(), base::Code::kFailedPrecondition);
  }
}

}  // namespace
}  // namespace masbak::registry

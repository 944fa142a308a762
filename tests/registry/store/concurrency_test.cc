// Many at once: aliases, repeated requests, the audit chain, and a server that goes away in the middle.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "base/error.h"
#include "registry/store/store.h"
#include "tests/registry/private_postgres.h"

namespace masbak::registry {
namespace {

using base::Code;

void in_threads(int count, const std::function<void(int)>& work) {
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) threads.emplace_back(work, i);
  for (std::thread& thread : threads) thread.join();
}

std::vector<std::string> add_versions(Store& store, int count) {
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) {
    names.push_back(store
                        .write({"users/salma"},
                               [&](Writer& w) {
                                 return w.create_version({.model = "models/pump",
                                                          .base_model = "baseModels/demo",
                                                          .base_digest = digest("base"),
                                                          .adapter_digest = digest(std::to_string(i))});
                               })
                        .name);
  }
  return names;
}

TEST(ConcurrencyTest, OneOfManyWinsEachComparison) {
  Store store({.url = new_database(), .connections = 12});
  const std::vector<std::string> versions = add_versions(store, 12);
  std::string current;
  for (int round = 0; round < 5; ++round) {
    std::atomic<int> won{0}, lost{0};
    in_threads(12, [&](int i) {
      const std::string& mine = versions[(round + i) % 12];
      if (mine == current) return;
      try {
        store.write({"users/u" + std::to_string(i)}, [&](Writer& w) { w.set_alias("production", mine, current); });
        ++won;
      } catch (const base::Error& error) {
        EXPECT_EQ(error.code(), Code::kAborted) << error.describe();
        ++lost;
      }
    });
    EXPECT_EQ(won, 1);
    EXPECT_EQ(lost, current.empty() ? 11 : 10);
    current = store.read([](const Reader& r) { return r.get_version("models/pump@production"); }).name;
  }
  EXPECT_EQ(store.read([](const Reader& r) { return r.alias_history("models/pump"); }).size(), 5u);
}

TEST(ConcurrencyTest, HistoryAndAuditAgreeAfterManyPromotions) {
  Store store({.url = new_database(), .connections = 6});
  const std::vector<std::string> versions = add_versions(store, 4);
  in_threads(12, [&](int i) {
    std::minstd_rand chance(i + 1);
    for (int n = 0; n < 20; ++n) {
      store.write({"users/u" + std::to_string(i)},
                  [&](Writer& w) { w.set_alias("production", versions[chance() % versions.size()]); });
    }
  });
  const auto [history, audit, verdict] = store.read([](const Reader& r) {
    return std::tuple(r.alias_history("models/pump"), r.list_audit("", {.size = 1000}).items, r.verify_audit());
  });
  EXPECT_TRUE(verdict.intact) << verdict.problem;
  std::string previous;
  for (const AliasChange& change : history) {
    EXPECT_EQ(change.previous_version, previous);
    EXPECT_NE(change.version, previous);
    previous = change.version;
  }
  std::vector<std::string> audited;
  for (auto record = audit.rbegin(); record != audit.rend(); ++record) {
    if (record->action == "version.promote") audited.push_back(record->actor + " " + record->resource);
  }
  ASSERT_EQ(audited.size(), history.size());
  for (size_t i = 0; i < history.size(); ++i) EXPECT_EQ(audited[i], history[i].actor + " " + history[i].version);
}

TEST(ConcurrencyTest, VersionsOfOneModelGetDifferentNumbers) {
  Store store({.url = new_database()});
  std::mutex mutex;
  std::set<int> numbers;
  in_threads(8, [&](int i) {
    for (int n = 0; n < 5; ++n) {
      const Version made = store.write({"users/salma"}, [&](Writer& w) {
        return w.create_version({.model = "models/pump",
                                 .base_model = "baseModels/demo",
                                 .base_digest = digest("base"),
                                 .adapter_digest = digest(std::to_string(i * 100 + n))});
      });
      std::lock_guard lock(mutex);
      numbers.insert(made.number);
    }
  });
  EXPECT_EQ(numbers.size(), 40u);
  EXPECT_EQ(*numbers.rbegin(), 40);
}

TEST(ConcurrencyTest, RepeatedRequestHasOneEffect) {
  const std::string url = new_database();
  const RequestKey key{
      .request_id = "r-1", .method = "TrainingService.CreateTrainingJob", .arguments_digest = digest("x")};
  const auto create = [](Writer& w) { return w.create_job({}).name; };
  std::mutex mutex;
  std::set<std::string> responses;
  {
    Store store({.url = url, .connections = 4});
    in_threads(10, [&](int) {
      for (int n = 0; n < 10; ++n) {
        const std::string response = store.once({"users/salma"}, key, create);
        std::lock_guard lock(mutex);
        responses.insert(response);
      }
    });
  }
  Store again({.url = url});
  responses.insert(again.once({"users/salma"}, key, create));
  EXPECT_EQ(responses.size(), 1u);
  EXPECT_EQ(again.read([](const Reader& r) { return r.list_jobs({}); }).items.size(), 1u);
  EXPECT_EQ(again.remembered({"users/salma"}, key), *responses.begin());
}

TEST(ConcurrencyTest, RequestIdIsNotForOtherArguments) {
  Store store({.url = new_database()});
  const RequestKey key{.request_id = "r-1", .method = "M", .arguments_digest = digest("x")};
  const std::string bytes("\0\xff binary", 9);
  EXPECT_EQ(store.once({"users/salma"}, key, [&](Writer&) { return bytes; }), bytes);
  EXPECT_EQ(store.once({"users/salma"}, key, [&](Writer&) { return std::string("other"); }), bytes);
  const auto code_of = [&](const Actor& actor, RequestKey other) {
    try {
      store.once(actor, other, [](Writer&) { return std::string(); });
    } catch (const base::Error& error) {
      return error.code();
    }
    return Code{};
  };
  EXPECT_EQ(code_of({"users/salma"}, {"r-1", "M", digest("y")}), Code::kInvalidArgument);
  EXPECT_EQ(code_of({"users/omar"}, key), Code::kInvalidArgument);
  EXPECT_EQ(code_of({"users/salma"}, {"r-1", "Other", digest("y")}), Code{});
  // What failed is not remembered.
  EXPECT_THROW(store.once({"users/salma"}, {"r-2", "M", ""},
                          [](Writer&) -> std::string { throw base::Error(Code::kUnavailable, "no"); }),
               base::Error);
  EXPECT_EQ(store.once({"users/salma"}, {"r-2", "M", ""}, [](Writer&) { return std::string("done"); }), "done");
  EXPECT_EQ(store.forget_requests(std::chrono::hours(1)), 0);
}

TEST(ConcurrencyTest, LostConnectionsAreRetriedWithoutASecondEffect) {
  const std::string url = new_database();
  Store store({.url = url, .connections = 4, .patience = std::chrono::seconds(30)});
  std::atomic<bool> done{false};
  std::thread saboteur([&] {
    while (!done) {
      run_sql(url,
              "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
              "WHERE datname = current_database() AND pid <> pg_backend_pid()");
      std::this_thread::sleep_for(std::chrono::milliseconds(15));
    }
  });
  in_threads(3, [&](int) {
    for (int n = 0; n < 30; ++n) store.write({"users/salma"}, [](Writer& w) { w.create_job({}); });
  });
  done = true;
  saboteur.join();
  EXPECT_EQ(store.read([](const Reader& r) { return r.list_jobs({.size = 1000}); }).items.size(), 90u);
  const AuditVerdict verdict = store.read([](const Reader& r) { return r.verify_audit(); });
  EXPECT_TRUE(verdict.intact) << verdict.problem;
  EXPECT_EQ(verdict.records, 90);
}

TEST(ConcurrencyTest, ServerThatIsGoneIsUnavailable) {
  TemporaryFolder folder;
  std::optional<PostgresServer> server(PostgresServer::start({.data = folder.path(), .durable = false}));
  Store store({.url = server->url(), .patience = std::chrono::milliseconds(300)});
  server.reset();
  try {
    store.read([](const Reader& r) { r.list_jobs({}); });
    FAIL() << "nothing was thrown";
  } catch (const base::Error& error) {
    EXPECT_EQ(error.code(), Code::kUnavailable);
    EXPECT_THAT(error.describe(), ::testing::HasSubstr("masbak up"));
  }
  PostgresServer again = PostgresServer::start({.data = folder.path(), .durable = false});
  EXPECT_NO_THROW(store.read([](const Reader& r) { r.list_jobs({}); }));
}

}  // namespace
}  // namespace masbak::registry

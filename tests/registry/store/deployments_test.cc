// Deployments: what is to serve, what was observed, and how one replaces the other.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "registry/store/store.h"
#include "tests/registry/private_postgres.h"

namespace masbak::registry {
namespace {

using base::Code;
using enum RevisionState;

constexpr char kName[] = "deployments/pump";

class DeploymentsTest : public ::testing::Test {
 protected:
  template <typename Work>
  auto write(const Work& work) {
    return store.write({"users/salma"}, work);
  }
  DeploymentsTest() {
    for (const char* adapter : {"a", "b", "c"}) {
      versions.push_back(write([&](Writer& w) {
                           return w.create_version({.model = "models/pump",
                                                    .base_model = "baseModels/demo",
                                                    .base_digest = digest("base"),
                                                    .adapter_digest = digest(adapter)});
                         }).name);
    }
  }

  Deployment deploy(int version) {
    return write([&](Writer& w) {
      return w.deploy({.name = kName, .version = versions.at(version - 1), .node = "nodes/local"});
    });
  }
  Deployment observe(int64_t generation, RevisionState state, const std::string& endpoint = "") {
    return write([&](Writer& w) {
      w.observe_revision(kName, generation, state, endpoint);
      return w.get_deployment(kName);
    });
  }
  // Deploys and lets it become ready; returns its generation.
  int64_t serve(int version) {
    const int64_t generation = deploy(version).target.generation;
    observe(generation, kStarting);
    observe(generation, kReady, "http://127.0.0.1:1");
    return generation;
  }
  std::vector<Revision> open() {
    return store.read([](const Reader& r) { return r.open_revisions(); });
  }
  template <typename Work>
  void expect_code(Code code, const Work& work) {
    try {
      work();
      ADD_FAILURE() << "nothing was thrown";
    } catch (const base::Error& error) {
      EXPECT_EQ(error.code(), code) << error.describe();
    }
  }

  std::string url = new_database();
  Store store{{.url = url}};
  std::vector<std::string> versions;
};

TEST_F(DeploymentsTest, FirstOneBecomesActiveWhenReady) {
  const Deployment made = deploy(1);
  EXPECT_EQ(made.target.state, kPending);
  EXPECT_FALSE(made.active.has_value());
  EXPECT_EQ(observe(made.target.generation, kStarting).target.state, kStarting);
  const Deployment ready = observe(made.target.generation, kReady, "http://127.0.0.1:41234/v1");
  ASSERT_TRUE(ready.active.has_value());
  EXPECT_EQ(ready.active->endpoint, "http://127.0.0.1:41234/v1");
  EXPECT_EQ(ready.previous_version, "");
  EXPECT_NE(ready.etag, made.etag);
}

TEST_F(DeploymentsTest, SameVersionAgainChangesNothing) {
  const int64_t generation = serve(1);
  EXPECT_EQ(deploy(1).target.generation, generation);
  EXPECT_EQ(open().size(), 1u);
}

TEST_F(DeploymentsTest, OldOneServesUntilTheNewOneIsReady) {
  const int64_t old = serve(1);
  const int64_t fresh = deploy(2).target.generation;
  EXPECT_GT(fresh, old);
  const Deployment starting = observe(fresh, kStarting);
  EXPECT_EQ(starting.active->version, versions[0]);
  EXPECT_TRUE(starting.active->wanted);
  const Deployment ready = observe(fresh, kReady);
  EXPECT_EQ(ready.active->version, versions[1]);
  EXPECT_EQ(ready.previous_version, versions[0]);
  ASSERT_EQ(open().size(), 2u);
  EXPECT_FALSE(open()[0].wanted);
  observe(old, kStopping);
  observe(old, kStopped);
  EXPECT_EQ(open().size(), 1u);
}

TEST_F(DeploymentsTest, FailedTargetLeavesTheOldOneServingAndRollbackStaysWithIt) {
  const int64_t old = serve(1);
  const int64_t fresh = deploy(2).target.generation;
  const Deployment failed = observe(fresh, kFailed);
  EXPECT_EQ(failed.target.state, kFailed);
  EXPECT_EQ(failed.active->generation, old);
  const Deployment back = write([](Writer& w) { return w.rollback_deployment(kName); });
  EXPECT_EQ(back.target.generation, old);
  EXPECT_EQ(back.active->generation, old);
}

TEST_F(DeploymentsTest, RollbackGoesToTheVersionBeforeAndBackAgain) {
  serve(1);
  expect_code(Code::kFailedPrecondition, [&] { write([](Writer& w) { w.rollback_deployment(kName); }); });
  serve(2);
  Deployment back = write([](Writer& w) { return w.rollback_deployment(kName); });
  EXPECT_EQ(back.target.version, versions[0]);
  observe(back.target.generation, kStarting);
  back = observe(back.target.generation, kReady);
  EXPECT_EQ(back.active->version, versions[0]);
  EXPECT_EQ(back.previous_version, versions[1]);
}

TEST_F(DeploymentsTest, CrashedServerIsActiveAgainWhenItComesBack) {
  const int64_t generation = serve(1);
  EXPECT_FALSE(observe(generation, kStarting).active.has_value());
  EXPECT_TRUE(observe(generation, kReady).active.has_value());
  observe(generation, kFailed);
  serve(2);  // after a crash, the version before is still known
  EXPECT_EQ(store.read([](const Reader& r) { return r.get_deployment(kName); }).previous_version, versions[0]);
}

TEST_F(DeploymentsTest, UnplacedRevisionEndsAtOnceWhenGivenUp) {
  write([&](Writer& w) { w.deploy({.name = kName, .version = versions[0]}); });
  const Deployment next = write([&](Writer& w) { return w.deploy({.name = kName, .version = versions[1]}); });
  ASSERT_EQ(open().size(), 1u);
  const Revision placed =
      write([&](Writer& w) { return w.place_revision(kName, next.target.generation, "nodes/local"); });
  EXPECT_EQ(placed.node, "nodes/local");
  observe(next.target.generation, kStarting);
  expect_code(Code::kFailedPrecondition,
              [&] { write([&](Writer& w) { w.place_revision(kName, next.target.generation, "nodes/b"); }); });
}

TEST_F(DeploymentsTest, IllegalObservationsAreRefused) {
  const int64_t generation = serve(1);
  expect_code(Code::kFailedPrecondition, [&] { observe(generation, kPending); });
  observe(generation, kStopped);
  for (const RevisionState state : {kPending, kStarting, kReady, kFailed, kStopping}) {
    expect_code(Code::kFailedPrecondition, [&] { observe(generation, state); });
  }
  expect_code(Code::kNotFound, [&] { observe(generation + 100, kReady); });
}

TEST_F(DeploymentsTest, DeletedOneGoesWhenAllHasStoppedAndItsGenerationsNeverReturn) {
  const int64_t generation = serve(1);
  expect_code(Code::kFailedPrecondition, [&] { write([](Writer& w) { w.remove_deployment(kName); }); });
  EXPECT_TRUE(write([](Writer& w) { return w.delete_deployment(kName); }).deleted);
  expect_code(Code::kFailedPrecondition, [&] { deploy(2); });
  expect_code(Code::kFailedPrecondition, [&] { write([](Writer& w) { w.remove_deployment(kName); }); });
  EXPECT_FALSE(open()[0].wanted);
  observe(generation, kStopped);
  write([](Writer& w) { w.remove_deployment(kName); });
  expect_code(Code::kNotFound, [&] { store.read([](const Reader& r) { r.get_deployment(kName); }); });
  EXPECT_GT(deploy(1).target.generation, generation);
}

}  // namespace
}  // namespace masbak::registry

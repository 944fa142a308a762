// The audit log's chain notices every alteration made behind the store's back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "registry/store/store.h"
#include "tests/registry/private_postgres.h"

namespace masbak::registry {
namespace {

using ::testing::HasSubstr;

class AuditTest : public ::testing::Test {
 protected:
  AuditTest() {
    for (const char* name : {"datasets/a", "datasets/b", "datasets/c"}) {
      store.write({"users/salma"}, [&](Writer& w) {
        w.create_dataset({.name = name, .digest = digest(name)});
        w.audit("dataset.look", name, R"({"why":"test"})");
      });
    }
  }
  AuditVerdict verify() {
    return store.read([](const Reader& r) { return r.verify_audit(); });
  }
  void expect_broken(const std::string& sql, const std::string& problem) {
    run_sql(url, sql);
    const AuditVerdict verdict = verify();
    EXPECT_FALSE(verdict.intact);
    EXPECT_THAT(verdict.problem, HasSubstr(problem));
  }

  std::string url = new_database();
  Store store{{.url = url}};
};

TEST_F(AuditTest, IntactChainIsVerified) {
  const AuditVerdict verdict = verify();
  EXPECT_TRUE(verdict.intact) << verdict.problem;
  EXPECT_EQ(verdict.records, 6);
  const auto page = store.read([](const Reader& r) { return r.list_audit("datasets/b", {.size = 10}); });
  ASSERT_EQ(page.items.size(), 2u);
  EXPECT_EQ(page.items[0].action, "dataset.look");
  EXPECT_EQ(page.items[0].detail_json, R"({"why":"test"})");
  EXPECT_EQ(page.items[0].previous_digest, page.items[1].digest);
}

TEST_F(AuditTest, AlteredRecordIsNamed) {
  expect_broken("UPDATE audit SET actor = 'users/omar' WHERE number = 4", "record 4 was altered");
}

TEST_F(AuditTest, AlteredTimeIsNamed) {
  expect_broken("UPDATE audit SET time_micros = time_micros + 1 WHERE number = 2", "record 2");
}

TEST_F(AuditTest, MissingRecordIsNamed) { expect_broken("DELETE FROM audit WHERE number = 3", "record 3 is missing"); }

TEST_F(AuditTest, MovedTextBetweenFieldsIsNoticed) {
  expect_broken("UPDATE audit SET action = action || resource, resource = '' WHERE number = 1", "record 1");
}

TEST_F(AuditTest, CutEndIsNoticed) { expect_broken("DELETE FROM audit WHERE number >= 5", "cut off"); }

TEST_F(AuditTest, RecordWithANewDigestBreaksTheNextOne) {
  expect_broken("UPDATE audit SET digest = 'sha256:' || repeat('0', 64) WHERE number = 2", "record 2");
}

}  // namespace
}  // namespace masbak::registry

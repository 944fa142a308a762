#include "policies/access/roles.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/base/thrown.h"

namespace masbak::policies {
namespace {

TEST(Roles, WhoTrainsCannotPromoteAndWhoPromotesCannotTrain) {
  EXPECT_TRUE(allowed(Role::kTrainer, "job.submit"));
  EXPECT_FALSE(allowed(Role::kTrainer, "version.promote"));
  EXPECT_FALSE(allowed(Role::kTrainer, "version.approve"));
  EXPECT_TRUE(allowed(Role::kApprover, "version.promote"));
  EXPECT_FALSE(allowed(Role::kApprover, "job.submit"));
  EXPECT_FALSE(allowed(Role::kViewer, "job.submit"));
  EXPECT_TRUE(allowed(Role::kViewer, "deployment.ask"));
}

TEST(Roles, AdminMayDoEverythingKnownAndNobodyTheUnknown) {
  const auto all = allowed_verbs(Role::kAdmin);
  for (const char* name : {"viewer", "trainer", "approver"}) {
    const auto verbs = allowed_verbs(parse_role(name));
    EXPECT_TRUE(std::includes(all.begin(), all.end(), verbs.begin(), verbs.end())) << name;
    EXPECT_LT(verbs.size(), all.size());
  }
  for (const char* name : {"viewer", "trainer", "approver", "admin"}) {
    EXPECT_EQ(role_name(parse_role(name)), name);
    EXPECT_FALSE(allowed(parse_role(name), "version.destroy"));
  }
}

TEST(Roles, NamesTheNearestRole) {
  const base::Error error = base::thrown([] { parse_role("aprover"); });
  EXPECT_NE(std::string(error.what()).find("did you mean 'approver'"), std::string::npos);
}

}  // namespace
}  // namespace masbak::policies

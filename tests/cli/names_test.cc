#include "programs/cli/names.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace masbak::cli {
namespace {

TEST(NamesTest, VersionsAreTypedInSeveralWays) {
  EXPECT_EQ(version_name("pump@3"), "models/pump/versions/3");
  EXPECT_EQ(version_name("pump@production"), "models/pump@production");
  EXPECT_EQ(version_name("models/pump/versions/3"), "models/pump/versions/3");
  EXPECT_EQ(version_name("models/pump@12"), "models/pump/versions/12");
  EXPECT_THROW(version_name("pump"), base::Error);
  EXPECT_THROW(version_name(""), base::Error);
}

TEST(NamesTest, VersionsAreShownShort) {
  EXPECT_EQ(short_version("models/pump/versions/3"), "pump@3");
  EXPECT_EQ(short_version("models/pump@production"), "pump@production");
  EXPECT_EQ(short_version(""), "");
  EXPECT_EQ(model_id("pump@production"), "pump");
  EXPECT_EQ(model_id("models/pump/versions/3"), "pump");
}

TEST(NamesTest, CollectionsAreAddedOnce) {
  EXPECT_EQ(full_name("jobs", "7"), "jobs/7");
  EXPECT_EQ(full_name("jobs", "jobs/7"), "jobs/7");
  EXPECT_EQ(short_name("datasets/refinery"), "refinery");
  EXPECT_EQ(short_name(""), "");
  EXPECT_THROW(full_name("jobs", ""), base::Error);
}

TEST(NamesTest, FilesBecomeIds) {
  EXPECT_EQ(id_from_file("/data/Pump Notes.jsonl"), "pump-notes");
  EXPECT_EQ(id_from_file("_train_.v2.jsonl"), "train_.v2");
  EXPECT_EQ(id_from_file("Model-v1.5/"), "model-v1.5");
  EXPECT_EQ(id_from_file(std::string(100, 'a') + ".jsonl").size(), 63u);
  EXPECT_THROW(id_from_file("مضخة.jsonl"), base::Error);
}

}  // namespace
}  // namespace masbak::cli

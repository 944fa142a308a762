#include "programs/cli/output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "masbak/v1/training.pb.h"
#include "programs/cli/progress.h"

namespace masbak::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(OutputTest, ColumnsAreAsWideAsTheirWidestCell) {
  ::testing::internal::CaptureStdout();
  Table table({"NAME", "N"});
  table.add({"long-name", "1"});
  table.add({"مضخة", "22"});
  table.print("nothing");
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "NAME       N\nlong-name  1\nمضخة       22\n");
  ::testing::internal::CaptureStdout();
  Table({"NAME"}).print("nothing there");
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "nothing there\n");
}

TEST(OutputTest, FieldsWithoutValueAreLeftOut) {
  ::testing::internal::CaptureStdout();
  print_fields({{"name", "x"}, {"a longer one", ""}, {"state", "READY"}});
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "name:   x\nstate:  READY\n");
}

TEST(OutputTest, Units) {
  EXPECT_EQ(bytes(0), "");
  EXPECT_EQ(bytes(1023), "1023 B");
  EXPECT_EQ(bytes(3 << 29), "1.5 GiB");
  EXPECT_EQ(duration(59.6), "1 min 00 s");
  EXPECT_EQ(duration(3900), "1 h 05 min");
  EXPECT_EQ(duration(std::nan("")), "");
  EXPECT_EQ(number(0.123456), "0.1235");
  EXPECT_EQ(plain_state(v1::JobState_Name(v1::JOB_STATE_RUNNING), "JOB_STATE_"), "RUNNING");
}

TEST(OutputTest, JsonHasTheNamesOfTheProtoFiles) {
  v1::Job job;
  job.set_base_model("baseModels/demo");
  job.set_state(v1::JOB_STATE_FAILED);
  ::testing::internal::CaptureStdout();
  print_json(job);
  const std::string text = ::testing::internal::GetCapturedStdout();
  EXPECT_THAT(text, HasSubstr(R"("base_model": "baseModels/demo")"));
  EXPECT_THAT(text, HasSubstr(R"("state": "JOB_STATE_FAILED")"));
  EXPECT_THAT(text, HasSubstr(R"("eval_loss": 0)"));
}

TEST(OutputTest, ProgressWithoutATerminalIsAFewPlainLines) {
  FILE* file = std::tmpfile();
  {
    Progress progress(file, "jobs/1");
    for (int step = 1; step <= 100; ++step) progress.step(step, 100, step * 1.0, "loss 1");
    progress.waiting("the node");
    progress.waiting("the node");
  }
  std::rewind(file);
  std::string text(10000, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  EXPECT_THAT(text, Not(HasSubstr("\r")));
  EXPECT_THAT(text, HasSubstr("step 41/100  loss 1  59 s left\n"));
  EXPECT_THAT(text, HasSubstr("step 100/100"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 12);
}

}  // namespace
}  // namespace masbak::cli

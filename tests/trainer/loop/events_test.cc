#include "trainer/loop/events.h"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <fstream>

#include "base/error.h"

namespace masbak::trainer {
namespace {

namespace fs = std::filesystem;
using base::Json;

class Events : public testing::Test {
 protected:
  Events() {
    char name[] = "/tmp/masbak-events-XXXXXX";
    root_ = mkdtemp(name);
    file_ = root_ / "events.jsonl";
  }
  ~Events() override { fs::remove_all(root_); }

  std::vector<Json> lines() const {
    std::vector<Json> result;
    base::read_json_lines(file_, [&](int, Json&& line) { result.push_back(std::move(line)); });
    return result;
  }
  void append(const std::string& text) { std::ofstream(file_, std::ios::app) << text; }

  fs::path root_, file_;
};

TEST_F(Events, AreNumberedFromOneAndTimed) {
  EventLog log(file_);
  log.write("started", {{"total_steps", 2}});
  log.write_once("step", 1, {{"loss", 0.5}});
  const auto events = lines();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0]["seq"], 1);
  EXPECT_EQ(events[1]["seq"], 2);
  EXPECT_EQ(events[1]["type"], "step");
  EXPECT_EQ(events[1]["step"], 1);
  EXPECT_THAT(events[0]["time"].get<std::string>(), testing::MatchesRegex(".*T.*\\.[0-9]{6}Z"));
}

TEST_F(Events, GoOnWithoutGapOrRepeat) {
  {
    EventLog log(file_);
    log.write("started", Json::object());
    for (int step = 1; step <= 3; ++step) log.write_once("step", step, {{"loss", 0.5 * step}});
  }
  append("{\"seq\":5,\"ty");  // cut short by a crash
  EventLog log(file_);
  EXPECT_EQ(log.last_seq(), 4);
  EXPECT_EQ(log.told_loss(2), 1.0);
  EXPECT_EQ(log.told_loss(4), std::nullopt);
  for (int step = 2; step <= 4; ++step) log.write_once("step", step, {{"loss", 0.5 * step}});
  const auto events = lines();
  ASSERT_EQ(events.size(), 5u);
  EXPECT_EQ(events[4]["seq"], 5);
  EXPECT_EQ(events[4]["step"], 4);
}

TEST_F(Events, RefuseAGapAndDamage) {
  append("{\"seq\":1,\"type\":\"started\"}\n{\"seq\":3,\"type\":\"step\"}\n");
  try {
    EventLog log(file_);
    FAIL() << "a gap was accepted";
  } catch (const base::Error& error) {
    EXPECT_EQ(error.code(), base::Code::kDataLoss);
    EXPECT_EQ(error.where().line, 2);
  }
  fs::remove(file_);
  append("{\"seq\":1,\"type\":\"started\"}\nnonsense\n");
  EXPECT_THROW(EventLog{file_}, base::Error);
}

}  // namespace
}  // namespace masbak::trainer

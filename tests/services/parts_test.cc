// The small parts: errors on the wire, server-sent events, run files, the tail of an event file.
#include <gtest/gtest.h>

#include <fstream>

#include "base/durable_file.h"
#include "base/error.h"
#include "services/control/run_file.h"
#include "services/control/sse.h"
#include "services/launcher/worker_tool.h"
#include "services/middleware/status.h"
#include "services/node/event_tail.h"

namespace masbak::services {
namespace {

TEST(StatusTest, AnErrorCrossesTheWireWhole) {
  base::Error sent(base::Code::kInvalidArgument, "expected a, found b: do c", {"run.yaml", 7, "training.a"});
  base::Error received = from_status(to_status(sent), "asking");
  EXPECT_EQ(received.describe(), sent.describe());
  base::Error foreign = from_status({grpc::StatusCode::UNAVAILABLE, "connection refused"}, "reaching 127.0.0.1:1");
  EXPECT_EQ(foreign.describe(), "UNAVAILABLE: reaching 127.0.0.1:1: connection refused");
}

TEST(WorkerToolTest, TheWorkersLastErrorLineCounts) {
  base::Error error = worker_error("error: INTERNAL: old\nnoise\nerror: NOT_FOUND: no shard 2 (m.json)\n", "fallback");
  EXPECT_EQ(error.code(), base::Code::kNotFound);
  EXPECT_STREQ(error.what(), "no shard 2 (m.json)");
  EXPECT_EQ(worker_error("nothing of use\n", "status 3").describe(), "INTERNAL: status 3");
}

TEST(SseTest, EventsComeOutWholeHoweverTheBytesAreCut) {
  const std::string bytes = ": comment\r\ndata: one\r\n\r\nevent: x\ndata:two\ndata: more\n\ndata: [DONE]\n\n";
  for (size_t step = 1; step <= bytes.size(); ++step) {
    std::vector<std::string> events;
    SseParser parser([&](const std::string& event) {
      events.push_back(event);
      return true;
    });
    for (size_t at = 0; at < bytes.size(); at += step) EXPECT_TRUE(parser.feed(bytes.substr(at, step)));
    EXPECT_EQ(events, (std::vector<std::string>{"one", "two\nmore", "[DONE]"})) << "pieces of " << step;
  }
  SseParser ended([](const std::string&) { return false; });
  EXPECT_FALSE(ended.feed("data: one\n\n"));
}

TEST(RunFileTest, OnlyModelAndDatasetAreReplaced) {
  std::string run = run_for_task(
      "model: demo\ndataset: {train: a.jsonl, eval: b.jsonl, format: messages}\ntraining:\n  learning_rate: 2.0e-4\n",
      false);
  EXPECT_NE(run.find("model: base"), std::string::npos) << run;
  EXPECT_NE(run.find("train: inputs/train.jsonl"), std::string::npos) << run;
  EXPECT_NE(run.find("format: messages"), std::string::npos) << run;
  EXPECT_NE(run.find("learning_rate: 2.0e-4"), std::string::npos) << run;
  EXPECT_EQ(run.find("eval"), std::string::npos) << run;
  EXPECT_NE(run_for_task("a: 1\n", true).find("eval: inputs/eval.jsonl"), std::string::npos);
  EXPECT_THROW(run_for_task("- a list\n", false), base::Error);
}

TEST(RunFileTest, ASuiteNamesItsDataBesideIt) {
  EXPECT_NE(suite_for_task("name: q\nquestions: ../x/q.jsonl\n", "q.jsonl").find("questions: q.jsonl"),
            std::string::npos);
  EXPECT_THROW(suite_for_task("name: q\nquestions: q.jsonl\n", ""), base::Error);
  EXPECT_THROW(suite_for_task("name: q\n", "q.jsonl"), base::Error);
  EXPECT_EQ(plain_file_name("../../etc/passwd", "f"), "passwd");
  EXPECT_THROW(plain_file_name("a/..", "f"), base::Error);
}

class EventTailTest : public ::testing::Test {
 protected:
  EventTailTest() { std::filesystem::remove(file_); }
  ~EventTailTest() override { std::filesystem::remove(file_); }
  void add(const std::string& text) { std::ofstream(file_, std::ios::app) << text; }
  static std::string line(int seq) { return "{\"seq\": " + std::to_string(seq) + ", \"type\": \"step\"}"; }

  std::filesystem::path file_ =
      std::filesystem::temp_directory_path() / ("masbak-events-" + std::to_string(getpid()) + ".jsonl");
  EventTail tail_{file_};
};

TEST_F(EventTailTest, GivesEachLineUntilItIsAcknowledged) {
  EXPECT_TRUE(tail_.after(0).lines.empty());
  add(line(1) + "\n" + line(2) + "\n" + line(3).substr(0, 9));
  EXPECT_EQ(tail_.after(0).lines, (std::vector<std::string>{line(1), line(2)}));
  EXPECT_EQ(tail_.after(0).lines.size(), 2u);
  EXPECT_TRUE(tail_.after(2).lines.empty()) << "the third is still being written";
  add(line(3).substr(9) + "\n");
  EXPECT_EQ(tail_.after(2).lines, (std::vector<std::string>{line(3)}));
  EXPECT_TRUE(tail_.after(3).lines.empty());
  EXPECT_EQ(tail_.after(1).lines.size(), 2u) << "a control plane that lost its memory gets them again";
}

TEST_F(EventTailTest, CutsLongBatchesAndSaysSo) {
  for (int seq = 1; seq <= 10; ++seq) add(line(seq) + "\n");
  auto batch = tail_.after(0, 2 * line(1).size());
  EXPECT_EQ(batch.lines.size(), 2u);
  EXPECT_TRUE(batch.more);
  EXPECT_EQ(tail_.after(2, 1).lines, (std::vector<std::string>{line(3)}));
  EXPECT_FALSE(tail_.after(9).more);
}

TEST_F(EventTailTest, StepsOverALineThatIsNoEvent) {
  add(line(1) + "\n\0\0garbage\n" + line(2) + "\n");
  EXPECT_EQ(tail_.after(0).lines.size(), 2u);
  EXPECT_EQ(tail_.after(1).lines, (std::vector<std::string>{line(2)}));
  EXPECT_TRUE(tail_.after(2).lines.empty());
}

TEST_F(EventTailTest, TheTailOfALogBeginsWithALine) {
  add("first line\nsecond line\nthird\n");
  int64_t offset = 0;
  EXPECT_EQ(file_tail(file_, 12, &offset), "third\n");
  EXPECT_EQ(offset, 23);
  EXPECT_EQ(file_tail(file_, 1000, &offset).size(), 29u);
  EXPECT_EQ(offset, 0);
}

}  // namespace
}  // namespace masbak::services

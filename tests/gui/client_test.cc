// The client while the control plane comes and goes.
#include "gui/client/client.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <QFile>
#include <QTemporaryDir>

#include "tests/gui/fake_server.h"
#include "tests/gui/offscreen.h"

namespace masbak::gui {
namespace {

class Clients : public testing::Test {
 protected:
  ConnectionSettings settings() const { return {QString::fromStdString(server_.endpoint()), "t", ""}; }
  // Asks until an answer comes.
  bool answers() {
    answered_ = asking_ = false;
    return wait_for([this] {
      if (answered_ || asking_) return answered_;
      asking_ = true;
      client_.call<v1::TrainingService::Stub, v1::ListJobsRequest, v1::ListJobsResponse>(
          &v1::TrainingService::Stub::ListJobs, {}, &receiver_, [this](const auto&) { answered_ = true; },
          [this](const Fault&) { asking_ = false; });
      return false;
    });
  }

  bool answered_ = false, asking_ = false;
  Offscreen offscreen_;
  FakeServer server_;
  QObject receiver_;
  Client client_{[this] { return settings(); }};
};

TEST_F(Clients, AFaultCarriesTheServersWords) {
  v1::CancelJobRequest request;
  request.set_name("jobs/404");
  Fault fault;
  client_.call<v1::TrainingService::Stub, v1::CancelJobRequest, v1::Job>(
      &v1::TrainingService::Stub::CancelJob, request, &receiver_, [](const v1::Job&) {},
      [&](const Fault& found) { fault = found; });
  ASSERT_TRUE(wait_for([&] { return fault.code != 0; }));
  EXPECT_EQ(fault.code, grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(fault.message, "there is no jobs/404");
  EXPECT_FALSE(fault.unreachable());
  EXPECT_TRUE(client_.connected()) << "a server that refuses is a server that answers";
}

TEST_F(Clients, ALostServerIsNoticedAndFoundAgain) {
  ASSERT_TRUE(answers());
  EXPECT_TRUE(client_.connected());
  server_.kill();
  int lost = 0;
  client_.call<v1::TrainingService::Stub, v1::ListJobsRequest, v1::ListJobsResponse>(
      &v1::TrainingService::Stub::ListJobs, {}, &receiver_, [](const auto&) {},
      [&](const Fault& fault) { lost += fault.unreachable(); });
  ASSERT_TRUE(wait_for([&] { return lost == 1 && !client_.connected(); }));
  server_.start();
  ASSERT_TRUE(answers());
  EXPECT_TRUE(wait_for([&] { return client_.connected(); }));
}

TEST_F(Clients, AWatchGivesEveryEventOnceAcrossRestartsOfTheServer) {
  std::vector<qint64> seqs;
  bool over = false;
  const auto watch = client_.watch_job("jobs/7", 0, &receiver_, [&](const v1::JobEvent& event) {
    if (event.type() != "state") seqs.push_back(event.seq());
    over = over || event.type() == "finished";
  });
  for (int kills = 0; kills < 3; ++kills) {
    for (int i = 0; i < 10; ++i) server_.data().advance();
    // All of them: events of the lost stream may still wait in the queue of this thread, and are no sign of a new call.
    ASSERT_TRUE(wait_for([&] {
      std::lock_guard lock(server_.data().mutex);
      return seqs.size() == server_.data().events["jobs/7"].size();
    }));
    server_.kill();
    for (int i = 0; i < 10; ++i) server_.data().advance();  // what happens while nobody listens
    server_.start();
  }
  for (int i = 0; i < kFakeSteps; ++i) server_.data().advance();
  ASSERT_TRUE(wait_for([&] { return over; }));
  EXPECT_GE(server_.data().calls["WatchJob"], 4) << "it called again after each restart";
  const auto all = server_.data().events["jobs/7"].size();
  ASSERT_EQ(seqs.size(), all);
  for (size_t i = 0; i < all; ++i) ASSERT_EQ(seqs[i], static_cast<qint64>(i) + 1);
}

TEST_F(Clients, ADroppedWatchAndADroppedReceiverHearNothingMore) {
  int heard = 0;
  auto watch = client_.watch_job("jobs/7", 0, &receiver_, [&](const v1::JobEvent&) { ++heard; });
  auto gone = std::make_unique<QObject>();
  auto orphan = client_.watch_job("jobs/7", 0, gone.get(), [&](const v1::JobEvent&) { heard += 1000000; });
  gone.reset();
  ASSERT_TRUE(wait_for([&] { return heard > 0; }));
  watch.reset();
  const int before = heard;
  for (int i = 0; i < 5; ++i) server_.data().advance();
  ASSERT_TRUE(answers());
  EXPECT_EQ(heard, before);
  EXPECT_LT(heard, 1000000);
}

TEST_F(Clients, AnAnswerComesInPiecesAndInOrder) {
  v1::AskRequest request;
  request.set_deployment("deployments/refinery");
  request.set_question("At which pressure does PSV-118 lift?");
  QString text, reason;
  const auto stream = client_.ask(
      request, &receiver_, [&](const QString& piece) { text += piece; },
      [&](const QString& finish_reason) { reason = finish_reason; }, nullptr);
  ASSERT_TRUE(wait_for([&] { return !reason.isEmpty(); }));
  EXPECT_EQ(text, "PSV-118 on the naphtha splitter lifts at 14.7 barg.");
  EXPECT_EQ(reason, "stop");
}

TEST(Connection, ComesFromTheDataFolder) {
  QTemporaryDir folder;
  for (const auto& [name, text] : {std::pair{"endpoint", "127.0.0.1:7000\n"}, std::pair{"token", " abc \n"}}) {
    QFile file(folder.filePath(name));
    ASSERT_TRUE(file.open(QIODevice::WriteOnly));
    file.write(text);
  }
  qunsetenv("MASBAK_ENDPOINT");
  qunsetenv("MASBAK_TOKEN");
  const auto found = ConnectionSettings::resolve("", "", folder.path());
  EXPECT_EQ(found.endpoint, "127.0.0.1:7000");
  EXPECT_EQ(found.token, "abc");
  EXPECT_EQ(ConnectionSettings::resolve("127.0.0.1:1", "", folder.path()).endpoint, "127.0.0.1:1");
}

}  // namespace
}  // namespace masbak::gui

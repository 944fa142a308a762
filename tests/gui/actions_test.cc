// What a person does in the console arrives at the services, and what the services say arrives in the window.
#include <gtest/gtest.h>

#include <QApplication>
#include <QClipboard>
#include <QComboBox>
#include <QLabel>
#include <QLineEdit>
#include <QMessageBox>
#include <QPushButton>
#include <QTextEdit>
#include <QTimer>

#include "gui/main_window.h"
#include "gui/pages/page.h"
#include "gui/widgets/parts.h"
#include "tests/gui/fake_server.h"
#include "tests/gui/offscreen.h"

namespace masbak::gui {
namespace {

class Actions : public testing::Test {
 protected:
  void SetUp() override {
    client_ = std::make_unique<Client>([endpoint = QString::fromStdString(server_.endpoint())] {
      return ConnectionSettings{endpoint, "t", ""};
    });
    window_ = std::make_unique<MainWindow>(*client_, "en", false);
    window_->show();
  }
  void open(const QString& page) {
    ASSERT_TRUE(window_->open_page(page));
    ASSERT_TRUE(wait_for([&] { return window_->page_ready(); }));
  }
  template <typename Widget>
  std::vector<Widget*> shown() const {
    std::vector<Widget*> found;
    for (auto* widget : window_->findChildren<Widget*>()) {
      if (widget->isVisible()) found.push_back(widget);
    }
    return found;
  }
  QPushButton* button(const QString& text) const {
    for (auto* button : shown<QPushButton>()) {
      if (button->text() == text) return button;
    }
    return nullptr;
  }
  void press(const QString& text) {
    ASSERT_TRUE(wait_for([&] { return button(text) && button(text)->isEnabled(); })) << text.toStdString();
    button(text)->click();
  }
  bool says(const QString& text) const {
    for (const auto* label : shown<QLabel>()) {
      if (label->text().contains(text)) return true;
    }
    return false;
  }
  ResourceTable* table() const { return shown<ResourceTable>().at(0); }
  // A copy of what the server has, under its mutex.
  template <typename Value>
  Value of_server(const std::function<Value(FakeData&)>& read) {
    std::lock_guard lock(server_.data().mutex);
    return read(server_.data());
  }

  Offscreen offscreen_;
  FakeServer server_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<MainWindow> window_;
};

TEST_F(Actions, AFineTuneIsStartedFromTheForm) {
  open("start");
  EXPECT_FALSE(button("Start")->isEnabled()) << "it has no name yet";
  for (auto* line : shown<QLineEdit>()) {
    if (line->accessibleName() == "Name") line->setText("pumps");
  }
  press("Start");
  ASSERT_TRUE(wait_for([&] { return of_server<size_t>([](FakeData& data) { return data.jobs.size(); }) == 9; }));
  const auto job = of_server<v1::Job>([](FakeData& data) { return data.jobs.front(); });
  EXPECT_EQ(job.model(), "models/pumps");
  EXPECT_EQ(job.base_model(), "baseModels/smollm2-moe");
  EXPECT_NE(job.run_yaml().find("learning_rate: 0.0002"), std::string::npos) << job.run_yaml();
  EXPECT_TRUE(wait_for([&] { return button("Cancel the job") != nullptr; })) << "it shows the jobs now";
}

TEST_F(Actions, ChoicesStayWhileTheListsChange) {
  open("start");
  QComboBox* data = nullptr;
  for (auto* box : shown<QComboBox>()) {
    if (box->accessibleName() == "Data") data = box;
  }
  ASSERT_NE(data, nullptr);
  data->setCurrentIndex(data->findData("datasets/refinery"));
  {
    std::lock_guard lock(server_.data().mutex);
    v1::Dataset added;
    added.set_name("datasets/a-new-one");
    server_.data().datasets.insert(server_.data().datasets.begin(), added);
  }
  ASSERT_TRUE(wait_for([&] { return data->findData("datasets/a-new-one") >= 0; }));
  EXPECT_EQ(data->currentData().toString(), "datasets/refinery");
}

TEST_F(Actions, TheRunningJobIsShownAndGrowsAndCanBeCancelled) {
  open("jobs");
  EXPECT_EQ(table()->selected(), "jobs/7");
  EXPECT_TRUE(wait_for([&] { return says("tokens a second"); }));
  server_.data().advance();
  const auto job = of_server<v1::Job>([](FakeData& data) { return *data.job("jobs/7"); });
  const QString loss = QString::number(job.loss(), 'f', 3);
  EXPECT_TRUE(wait_for([&] { return says(loss); }));
  press("Cancel the job");
  EXPECT_TRUE(wait_for([&] {
    return of_server<bool>([](FakeData& data) { return data.job("jobs/7")->state() == v1::JOB_STATE_CANCELLED; });
  }));
  EXPECT_TRUE(wait_for([&] { return !button("Cancel the job")->isEnabled(); }));
}

TEST_F(Actions, TheDetailsOfAFailedJobAreCopiedForWhoeverHelps) {
  open("jobs");
  table()->select("jobs/2");
  EXPECT_TRUE(says("max_length is 1,024"));
  press("Copy the details");
  ASSERT_TRUE(wait_for([&] { return button("Copied") != nullptr; }));
  const QString copied = QGuiApplication::clipboard()->text();
  EXPECT_TRUE(copied.contains("OUT_OF_RANGE")) << copied.toStdString();
  EXPECT_TRUE(copied.contains("loaded the base model")) << copied.toStdString();
}

TEST_F(Actions, OnlyWhatPassedItsGateCanBePromoted) {
  open("versions");
  table()->select("models/refinery/versions/2");
  EXPECT_FALSE(button("Promote to production")->isEnabled());
  EXPECT_TRUE(wait_for([&] { return says("0.28 too little"); }));
  table()->select("models/refinery/versions/1");
  QTimer answer;
  QObject::connect(&answer, &QTimer::timeout, [] {
    auto* question = qobject_cast<QMessageBox*>(QApplication::activeModalWidget());
    if (question != nullptr) question->buttons().at(0)->click();
  });
  answer.start(50);
  press("Promote to production");
  EXPECT_TRUE(wait_for(
      [&] { return of_server<int>([](FakeData& data) { return data.versions.back().aliases_size(); }) == 1; }));
}

TEST_F(Actions, ARefusalIsSaidInTheServersWords) {
  open("deployments");
  {
    std::lock_guard lock(server_.data().mutex);
    server_.data().refusal = "refinery is switching at the moment; try again when it is ready";
  }
  press("Roll back");
  EXPECT_TRUE(wait_for([&] { return says("refinery is switching at the moment"); }));
}

TEST_F(Actions, ANodeIsDrainedAndResumed) {
  open("deployments");
  press("Take no new work");
  press("Take new work again");
  EXPECT_TRUE(wait_for(
      [&] { return of_server<bool>([](FakeData& data) { return data.nodes[0].state() == v1::NODE_STATE_READY; }); }));
}

TEST_F(Actions, BothSidesAnswerAQuestion) {
  open("ask");
  window_->ask("At which pressure does PSV-118 lift?");
  ASSERT_TRUE(wait_for([&] { return window_->page_ready() && !shown<QTextEdit>().at(1)->toPlainText().isEmpty(); }));
  EXPECT_TRUE(shown<QTextEdit>().at(0)->toPlainText().startsWith("Relief valves"));
  EXPECT_TRUE(shown<QTextEdit>().at(1)->toPlainText().contains("14.7 barg"));
}

TEST_F(Actions, ALostServerIsSaidAndTheWindowComesBackByItself) {
  open("overview");
  server_.kill();
  ASSERT_TRUE(wait_for([&] { return says("does not answer"); }));
  server_.data().advance();
  server_.start();
  ASSERT_TRUE(wait_for([&] { return !says("does not answer") && window_->page_ready(); }));
}

}  // namespace
}  // namespace masbak::gui

// The item models under Qt's own checker: every insertion, move, removal and change is announced as views need it.
#include <gtest/gtest.h>

#include <QtTest/QAbstractItemModelTester>
#include <QtTest/QSignalSpy>
#include <algorithm>
#include <random>

#include "gui/models/columns.h"
#include "gui/models/format.h"
#include "gui/widgets/parts.h"
#include "tests/gui/fake_data.h"
#include "tests/gui/offscreen.h"

namespace masbak::gui {
namespace {

std::vector<v1::Job> jobs_named(const std::vector<int>& numbers) {
  std::vector<v1::Job> jobs(numbers.size());
  for (size_t i = 0; i < numbers.size(); ++i) jobs[i].set_name("jobs/" + std::to_string(numbers[i]));
  return jobs;
}

std::vector<int> numbers_of(const ResourceModel<v1::Job>& model) {
  std::vector<int> numbers;
  for (int row = 0; row < model.rowCount(); ++row) numbers.push_back(std::stoi(model.at(row).name().substr(5)));
  return numbers;
}

class Models : public testing::Test {
 protected:
  Offscreen offscreen_;
  ResourceModel<v1::Job> jobs_{job_columns()};
  QAbstractItemModelTester tester_{&jobs_, QAbstractItemModelTester::FailureReportingMode::Fatal};
};

TEST_F(Models, FollowTheServersOrderThroughInsertionsMovesAndRemovals) {
  for (const std::vector<int>& numbers :
       std::vector<std::vector<int>>{{3, 2, 1}, {4, 3, 2, 1}, {1, 2, 3, 4}, {4, 1, 3}, {7, 1, 9, 3, 8}, {}, {5}}) {
    jobs_.update(jobs_named(numbers));
    EXPECT_EQ(numbers_of(jobs_), numbers);
  }
}

TEST_F(Models, FollowAnyListAtAll) {
  std::mt19937 random(7);
  std::vector<int> all(12);
  for (int i = 0; i < 12; ++i) all[static_cast<size_t>(i)] = i;
  for (int round = 0; round < 300; ++round) {
    std::shuffle(all.begin(), all.end(), random);
    const std::vector<int> some(all.begin(), all.begin() + static_cast<long>(random() % 13));
    jobs_.update(jobs_named(some));
    ASSERT_EQ(numbers_of(jobs_), some) << "round " << round;
  }
}

TEST_F(Models, ChangeOnlyTheRowThatChanged) {
  auto rows = jobs_named({3, 2, 1});
  jobs_.update(rows);
  QSignalSpy changes(&jobs_, &QAbstractItemModel::dataChanged);
  jobs_.update(rows);
  EXPECT_EQ(changes.count(), 0) << "nothing changed";
  rows[1].set_state(v1::JOB_STATE_RUNNING);
  jobs_.update(rows);
  ASSERT_EQ(changes.count(), 1);
  EXPECT_EQ(changes[0][0].toModelIndex().row(), 1);
}

TEST_F(Models, KeepTheSelectionWhileRowsMoveUnderIt) {
  jobs_.update(jobs_named({3, 2, 1}));
  ResourceTable table;
  table.setModel(&jobs_);
  table.select("jobs/2");
  jobs_.update(jobs_named({5, 4, 3, 2, 1}));
  EXPECT_EQ(table.selected(), "jobs/2");
  jobs_.update(jobs_named({1, 2, 5}));
  EXPECT_EQ(table.selected(), "jobs/2");
  jobs_.update(jobs_named({5, 1}));
  EXPECT_NE(table.selected(), "jobs/2");
}

template <typename Resource>
void check_all(const std::vector<Resource>& rows, std::vector<Column<Resource>> columns) {
  ResourceModel<Resource> model(std::move(columns));
  QAbstractItemModelTester tester(&model, QAbstractItemModelTester::FailureReportingMode::Fatal);
  model.update(rows);
  ASSERT_EQ(model.rowCount(), static_cast<int>(rows.size()));
  for (int column = 0; column < model.columnCount(); ++column) {
    EXPECT_FALSE(model.headerData(column, Qt::Horizontal, Qt::DisplayRole).toString().isEmpty());
  }
  EXPECT_EQ(model.index(0, 0).data(kNameRole).toString().toStdString(), rows[0].name());
  EXPECT_FALSE(model.index(0, 0).data().toString().isEmpty());
  model.retranslate();
  model.update({});
}

TEST_F(Models, OfEveryKindShowTheirRows) {
  const FakeData data;
  check_all(data.jobs, job_columns());
  check_all(data.versions, version_columns());
  check_all(data.deployments, deployment_columns());
  check_all(data.nodes, node_columns());
  check_all(data.datasets, dataset_columns());
  check_all(data.base_models, base_model_columns());
}

TEST_F(Models, SayValuesAsAPersonReadsThem) {
  EXPECT_EQ(short_name("models/pump/versions/3"), "pump · 3");
  EXPECT_EQ(short_name("baseModels/demo"), "demo");
  EXPECT_EQ(short_digest("sha256:12ab34cd56ef"), "12ab34cd");
  EXPECT_EQ(duration_text(59.4), "59 s");
  EXPECT_EQ(duration_text(125), "2 min 05 s");
  EXPECT_EQ(duration_text(3 * 3600 + 60 * 7), "3 h 07 min");
  EXPECT_EQ(time_text({}), "–");
  EXPECT_EQ(bytes_text(3LL << 30), "3.0 GB");
}

}  // namespace
}  // namespace masbak::gui

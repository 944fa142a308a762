// Jobs, and the one that is selected live: its loss, its speed, the time left.
#pragma once

#include <memory>

#include "gui/pages/page.h"

class QLabel;
class QPushButton;

namespace masbak::gui {

class LossChart;
class ResourceTable;

class JobsPage : public Page {
  Q_OBJECT

 public:
  explicit JobsPage(Workspace& workspace, QWidget* parent = nullptr);
  QString title() const override { return tr("Jobs"); }
  QString id() const override { return "jobs"; }
  void retranslate() override;
  void retheme() override;
  bool ready() const override;

 private:
  void select_interesting();
  void follow_selection();
  void take(const v1::JobEvent& event);
  void show_details();
  void cancel();
  void copy_details();

  ResourceTable* table_;
  LossChart* chart_;
  QLabel *heading_, *details_;
  QPushButton *copy_, *cancel_;
  QString followed_;
  bool details_due_ = false;
  std::shared_ptr<void> watch_;
  qint64 seq_ = 0;
  double speed_ = 0, learning_rate_ = 0, first_step_time_ = 0, last_step_time_ = 0, loss_ = 0, eval_loss_ = 0;
  qint64 first_step_ = 0, step_ = 0;
};

}  // namespace masbak::gui

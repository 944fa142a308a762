// What a person wants to know first: what runs, what needs attention, what is in production.
#pragma once

#include "gui/pages/page.h"

class QLabel;
class QPushButton;

namespace masbak::gui {

class ResourceTable;

class OverviewPage : public Page {
  Q_OBJECT

 public:
  explicit OverviewPage(Workspace& workspace, QWidget* parent = nullptr);
  QString title() const override { return tr("Overview"); }
  QString id() const override { return "overview"; }
  void retranslate() override;

 private:
  struct Figure {
    QLabel* number;
    QLabel* words;
  };
  Figure add_figure(QLayout* row);
  void show_state();
  void show_attention();
  void show_production();

  Figure running_, versions_, deployments_, nodes_;
  QLabel *attention_heading_, *attention_, *production_heading_, *production_, *jobs_heading_;
  ResourceTable* jobs_;
  QPushButton *start_, *ask_;
};

}  // namespace masbak::gui

// Versions with what their gates found, rule by rule, and promotion.
#pragma once

#include "gui/pages/page.h"

class QLabel;
class QPushButton;

namespace masbak::gui {

class ResourceTable;

class VersionsPage : public Page {
  Q_OBJECT

 public:
  explicit VersionsPage(Workspace& workspace, QWidget* parent = nullptr);
  QString title() const override { return tr("Versions"); }
  QString id() const override { return "versions"; }
  void retranslate() override;
  bool ready() const override { return Page::ready() && (shown_.isEmpty() || gate_loaded_); }

 private:
  void follow_selection();
  void show_version();
  void promote();
  void deploy();

  ResourceTable* table_;
  QLabel *heading_, *identity_, *gate_heading_, *gate_;
  QPushButton *promote_, *deploy_;
  QString shown_;
  v1::GateReport report_;
  bool gate_loaded_ = false;
};

}  // namespace masbak::gui

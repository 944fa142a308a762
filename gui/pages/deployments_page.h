// What serves where: deployments and nodes.
#pragma once

#include "gui/pages/page.h"

class QLabel;
class QPushButton;

namespace masbak::gui {

class ResourceTable;

class DeploymentsPage : public Page {
  Q_OBJECT

 public:
  explicit DeploymentsPage(Workspace& workspace, QWidget* parent = nullptr);
  QString title() const override { return tr("Deployments and nodes"); }
  QString id() const override { return "deployments"; }
  void retranslate() override;

 private:
  void show_selection();
  void copy_endpoint();
  void roll_back();
  void drain_or_resume();
  const v1::Deployment* deployment() const;
  const v1::Node* node() const;

  ResourceTable *deployments_, *nodes_;
  QLabel *nodes_heading_, *note_;
  QPushButton *copy_, *roll_back_, *drain_;
};

}  // namespace masbak::gui

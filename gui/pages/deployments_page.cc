#include "gui/pages/deployments_page.h"

#include <QClipboard>
#include <QGuiApplication>
#include <QHBoxLayout>
#include <QLabel>
#include <QPushButton>
#include <QUuid>
#include <QVBoxLayout>

#include "gui/models/format.h"
#include "gui/widgets/parts.h"

namespace masbak::gui {

using namespace masbak::v1;

DeploymentsPage::DeploymentsPage(Workspace& workspace, QWidget* parent)
    : Page(workspace, parent),
      deployments_(new ResourceTable(this)),
      nodes_(new ResourceTable(this)),
      nodes_heading_(make_label("heading", this)),
      note_(make_label("muted", this)),
      copy_(new QPushButton(this)),
      roll_back_(new QPushButton(this)),
      drain_(new QPushButton(this)) {
  deployments_->setModel(&workspace_.deployments);
  nodes_->setModel(&workspace_.nodes);
  body()->addWidget(deployments_, 3);
  auto* actions = new QHBoxLayout;
  actions->addWidget(copy_);
  actions->addWidget(roll_back_);
  actions->addWidget(note_, 1);
  body()->addLayout(actions);
  auto* nodes_row = new QHBoxLayout;
  nodes_row->addWidget(nodes_heading_, 1);
  nodes_row->addWidget(drain_);
  body()->addLayout(nodes_row);
  body()->addWidget(nodes_, 2);
  connect(copy_, &QPushButton::clicked, this, &DeploymentsPage::copy_endpoint);
  connect(roll_back_, &QPushButton::clicked, this, &DeploymentsPage::roll_back);
  connect(drain_, &QPushButton::clicked, this, &DeploymentsPage::drain_or_resume);
  connect(deployments_->selectionModel(), &QItemSelectionModel::selectionChanged, this,
          &DeploymentsPage::show_selection);
  connect(nodes_->selectionModel(), &QItemSelectionModel::selectionChanged, this, &DeploymentsPage::show_selection);
  connect(&workspace_, &Workspace::changed, this, [this] {
    if (deployments_->selected().isEmpty() && workspace_.deployments.rowCount() > 0) deployments_->select_row(0);
    if (nodes_->selected().isEmpty() && workspace_.nodes.rowCount() > 0) nodes_->select_row(0);
    show_selection();
  });
}

void DeploymentsPage::retranslate() {
  Page::retranslate();
  deployments_->setAccessibleName(tr("Table of deployments"));
  deployments_->set_empty_text(tr("Nothing is deployed. Promote a version, then deploy it from the page Versions."));
  nodes_->setAccessibleName(tr("Table of nodes"));
  nodes_->set_empty_text(tr("No node has joined. Start an agent on a host with: masbak-noded"));
  nodes_heading_->setText(tr("Nodes"));
  copy_->setText(tr("Copy the endpoint"));
  roll_back_->setText(tr("Roll back"));
  show_selection();
}

const Deployment* DeploymentsPage::deployment() const {
  const int row = workspace_.deployments.row_of(deployments_->selected().toStdString());
  return row < 0 ? nullptr : &workspace_.deployments.at(row);
}

const Node* DeploymentsPage::node() const {
  const int row = workspace_.nodes.row_of(nodes_->selected().toStdString());
  return row < 0 ? nullptr : &workspace_.nodes.at(row);
}

void DeploymentsPage::show_selection() {
  const Deployment* selected = deployment();
  copy_->setEnabled(selected && !selected->endpoint().empty());
  roll_back_->setEnabled(selected && !selected->previous_version().empty());
  if (selected && !selected->error().empty()) {
    note_->setText(isolate(QString::fromStdString(selected->error())));
  } else if (selected && !selected->previous_version().empty()) {
    note_->setText(tr("A rollback goes to %1.").arg(isolate(short_name(selected->previous_version()))));
  } else {
    note_->clear();
  }
  const Node* host = node();
  drain_->setEnabled(host && host->state() != NODE_STATE_LOST);
  drain_->setText(host && host->state() == NODE_STATE_DRAINING ? tr("Take new work again") : tr("Take no new work"));
}

void DeploymentsPage::copy_endpoint() {
  if (const Deployment* selected = deployment()) {
    QGuiApplication::clipboard()->setText(QString::fromStdString(selected->endpoint()));
    note_->setText(tr("Copied. It speaks the OpenAI API."));
  }
}

void DeploymentsPage::roll_back() {
  const Deployment* selected = deployment();
  if (!selected) return;
  RollbackDeploymentRequest request;
  request.set_name(selected->name());
  request.set_request_id(QUuid::createUuid().toString(QUuid::WithoutBraces).toStdString());
  workspace_.client().call<DeploymentService::Stub, RollbackDeploymentRequest, Deployment>(
      &DeploymentService::Stub::RollbackDeployment, request, this, [this](const Deployment&) { workspace_.refresh(); },
      fail_with(tr("The rollback")));
}

void DeploymentsPage::drain_or_resume() {
  const Node* host = node();
  if (!host) return;
  const auto done = [this](const Node&) { workspace_.refresh(); };
  if (host->state() == NODE_STATE_DRAINING) {
    ResumeNodeRequest request;
    request.set_name(host->name());
    workspace_.client().call<NodeService::Stub, ResumeNodeRequest, Node>(&NodeService::Stub::ResumeNode, request, this,
                                                                         done, fail_with(tr("Resuming the node")));
  } else {
    DrainNodeRequest request;
    request.set_name(host->name());
    workspace_.client().call<NodeService::Stub, DrainNodeRequest, Node>(&NodeService::Stub::DrainNode, request, this,
                                                                        done, fail_with(tr("Draining the node")));
  }
}

}  // namespace masbak::gui

#include "gui/pages/versions_page.h"

#include <QHBoxLayout>
#include <QLabel>
#include <QMessageBox>
#include <QPushButton>
#include <QUuid>
#include <QVBoxLayout>

#include "gui/models/format.h"
#include "gui/widgets/parts.h"
#include "gui/widgets/theme.h"

namespace masbak::gui {

using namespace masbak::v1;

namespace {

std::string new_request_id() { return QUuid::createUuid().toString(QUuid::WithoutBraces).toStdString(); }

}  // namespace

VersionsPage::VersionsPage(Workspace& workspace, QWidget* parent)
    : Page(workspace, parent),
      table_(new ResourceTable(this)),
      heading_(make_label("heading", this)),
      identity_(make_label("muted", this)),
      gate_heading_(make_label("heading", this)),
      gate_(make_label("", this)),
      promote_(new QPushButton(this)),
      deploy_(new QPushButton(this)) {
  table_->setModel(&workspace_.versions);
  body()->addWidget(table_, 3);
  auto* card = make_card(this);
  auto* column = new QVBoxLayout(card);
  column->setContentsMargins(20, 16, 20, 16);
  auto* top = new QHBoxLayout;
  top->addWidget(heading_, 1);
  top->addWidget(promote_);
  top->addWidget(deploy_);
  promote_->setProperty("role", "primary");
  column->addLayout(top);
  column->addWidget(identity_);
  column->addSpacing(8);
  column->addWidget(gate_heading_);
  column->addWidget(gate_);
  column->addStretch(1);
  gate_->setTextFormat(Qt::RichText);
  identity_->setTextInteractionFlags(Qt::TextSelectableByMouse);
  body()->addWidget(card, 2);
  connect(table_->selectionModel(), &QItemSelectionModel::selectionChanged, this, &VersionsPage::follow_selection);
  connect(promote_, &QPushButton::clicked, this, &VersionsPage::promote);
  connect(deploy_, &QPushButton::clicked, this, &VersionsPage::deploy);
  connect(&workspace_, &Workspace::changed, this, [this] {
    if (table_->selected().isEmpty() && workspace_.versions.rowCount() > 0) table_->select_row(0);
    show_version();
  });
}

void VersionsPage::retranslate() {
  Page::retranslate();
  table_->setAccessibleName(tr("Table of versions"));
  table_->set_empty_text(tr("No version yet. Each fine-tune that ends well becomes a version, which never changes."));
  promote_->setText(tr("Promote to production"));
  deploy_->setText(tr("Deploy"));
  gate_heading_->setText(tr("What the gate found"));
  show_version();
}

void VersionsPage::follow_selection() {
  const QString selected = table_->selected();
  if (selected == shown_) return;
  shown_ = selected;
  report_.Clear();
  gate_loaded_ = false;
  show_version();
  if (shown_.isEmpty()) return;
  GetGateReportRequest request;
  request.set_version(shown_.toStdString());
  workspace_.client().call<EvaluationService::Stub, GetGateReportRequest, GateReport>(
      &EvaluationService::Stub::GetGateReport, request, this,
      [this, selected](const GateReport& report) {
        if (selected != shown_) return;
        report_ = report;
        gate_loaded_ = true;
        show_version();
      },
      [this, selected](const Fault& fault) {
        if (selected != shown_) return;
        gate_loaded_ = true;
        // No gate has run yet: the page says so in words. Anything else is a fault.
        if (fault.code != grpc::StatusCode::NOT_FOUND) fail_with(tr("Reading the gate's report"))(fault);
        show_version();
      });
}

void VersionsPage::show_version() {
  const int row = workspace_.versions.row_of(shown_.toStdString());
  const bool passed = row >= 0 && workspace_.versions.at(row).gate_state() == "passed";
  promote_->setEnabled(passed);
  deploy_->setEnabled(passed);
  if (row < 0) {
    heading_->setText(tr("No version selected"));
    identity_->clear();
    gate_->clear();
    return;
  }
  const Version& version = workspace_.versions.at(row);
  heading_->setText(isolate(short_name(version.name())));
  identity_->setText(
      tr("base %1  ·  data %2  ·  adapter %3  ·  run %4")
          .arg(isolate(short_digest(version.base_digest())), isolate(short_digest(version.dataset_digest())),
               isolate(short_digest(version.adapter_digest())), isolate(short_digest(version.run_digest()))));
  if (report_.results().empty()) {
    gate_->setText(tr("No gate has run for this version, so it cannot be promoted. Run one with: masbak gate run"));
    return;
  }
  QString text;
  for (const auto& result : report_.results()) {
    const QColor colour = result.passed() ? theme().good : theme().bad;
    // The message begins with the rule's name.
    text += QStringLiteral("<p><b style='color:%1'>%2</b>  %3</p>")
                .arg(colour.name(), result.passed() ? tr("Passed") : tr("Refused"),
                     isolate(QString::fromStdString(result.message()).toHtmlEscaped()));
  }
  gate_->setText(text);
}

void VersionsPage::promote() {
  const QString name = shown_;
  QMessageBox question(QMessageBox::Question, tr("Promote"),
                       tr("Point the alias “production” at %1? Whoever asks for production gets this version from "
                          "then on.")
                           .arg(isolate(short_name(name.toStdString()))),
                       QMessageBox::NoButton, this);
  auto* yes = question.addButton(tr("Promote"), QMessageBox::AcceptRole);
  question.addButton(tr("Not now"), QMessageBox::RejectRole);
  question.exec();
  if (question.clickedButton() != yes) return;
  PromoteVersionRequest request;
  request.set_name(name.toStdString());
  request.set_alias("production");
  request.set_request_id(new_request_id());
  workspace_.client().call<RegistryService::Stub, PromoteVersionRequest, Version>(
      &RegistryService::Stub::PromoteVersion, request, this, [this](const Version&) { workspace_.refresh(); },
      fail_with(tr("Promoting the version")));
}

void VersionsPage::deploy() {
  const QString model = shown_.section('/', 1, 1);
  CreateDeploymentRequest request;
  request.set_deployment_id(model.toStdString());
  request.set_version(shown_.toStdString());
  request.set_request_id(new_request_id());
  workspace_.client().call<DeploymentService::Stub, CreateDeploymentRequest, Deployment>(
      &DeploymentService::Stub::CreateDeployment, request, this,
      [this](const Deployment&) {
        workspace_.refresh();
        Q_EMIT go_to("deployments");
      },
      fail_with(tr("Deploying the version")));
}

}  // namespace masbak::gui

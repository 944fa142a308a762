#include "gui/pages/overview_page.h"

#include <QHBoxLayout>
#include <QLabel>
#include <QPushButton>
#include <QVBoxLayout>
#include <set>
#include <utility>

#include "gui/models/format.h"
#include "gui/widgets/parts.h"

namespace masbak::gui {

using namespace masbak::v1;

namespace {

constexpr int kMostLines = 4;

// The first and the last stand at the card's edge, without a paragraph's margin.
QString paragraphs(const QStringList& lines) {
  return "<p style='margin-top:2px; margin-bottom:6px'>" +
         lines.join("</p><p style='margin-top:0; margin-bottom:6px'>") + "</p>";
}

}  // namespace

OverviewPage::OverviewPage(Workspace& workspace, QWidget* parent) : Page(workspace, parent) {
  auto* figures = new QHBoxLayout;
  figures->setSpacing(16);
  running_ = add_figure(figures);
  versions_ = add_figure(figures);
  deployments_ = add_figure(figures);
  nodes_ = add_figure(figures);
  body()->addLayout(figures);

  auto* cards = new QHBoxLayout;
  cards->setSpacing(16);
  auto add_card = [&](QLabel*& heading, QLabel*& text) {
    auto* card = make_card(this);
    auto* column = new QVBoxLayout(card);
    column->setContentsMargins(20, 16, 20, 16);
    column->addWidget(heading = make_label("heading", card));
    column->addWidget(text = make_label("", card));
    column->addStretch(1);
    text->setTextFormat(Qt::RichText);
    text->setTextInteractionFlags(Qt::TextSelectableByMouse);
    cards->addWidget(card, 1);
  };
  add_card(attention_heading_, attention_);
  add_card(production_heading_, production_);
  body()->addLayout(cards);
  body()->addWidget(jobs_heading_ = make_label("heading", this));
  body()->addWidget(jobs_ = new ResourceTable(this), 1);
  jobs_->setModel(&workspace_.jobs);
  connect(jobs_, &QAbstractItemView::activated, this, [this] { Q_EMIT go_to("jobs"); });

  auto* actions = new QHBoxLayout;
  actions->addWidget(start_ = new QPushButton(this));
  actions->addWidget(ask_ = new QPushButton(this));
  actions->addStretch(1);
  start_->setProperty("role", "primary");
  connect(start_, &QPushButton::clicked, this, [this] { Q_EMIT go_to("start"); });
  connect(ask_, &QPushButton::clicked, this, [this] { Q_EMIT go_to("ask"); });
  body()->addLayout(actions);
  connect(&workspace_, &Workspace::changed, this, &OverviewPage::show_state);
}

OverviewPage::Figure OverviewPage::add_figure(QLayout* row) {
  auto* card = make_card(this);
  auto* column = new QVBoxLayout(card);
  column->setContentsMargins(20, 14, 20, 14);
  Figure figure{make_label("figure", card), make_label("muted", card)};
  figure.number->setText(QStringLiteral("–"));
  column->addWidget(figure.number);
  column->addWidget(figure.words);
  row->addWidget(card);
  return figure;
}

void OverviewPage::retranslate() {
  Page::retranslate();
  running_.words->setText(tr("jobs running"));
  versions_.words->setText(tr("versions kept"));
  deployments_.words->setText(tr("deployments ready"));
  nodes_.words->setText(tr("nodes ready"));
  attention_heading_->setText(tr("Needs attention"));
  production_heading_->setText(tr("In production"));
  jobs_heading_->setText(tr("Latest jobs"));
  jobs_->setAccessibleName(tr("Table of jobs"));
  jobs_->set_empty_text(tr("No job yet. Start a fine-tune, and it appears here."));
  start_->setText(tr("Start a fine-tune"));
  ask_->setText(tr("Ask a question"));
  show_state();
}

void OverviewPage::show_state() {
  int running = 0, deployed = 0, nodes = 0;
  for (int row = 0; row < workspace_.jobs.rowCount(); ++row) {
    running += workspace_.jobs.at(row).state() == JOB_STATE_RUNNING;
  }
  for (int row = 0; row < workspace_.deployments.rowCount(); ++row) {
    deployed += workspace_.deployments.at(row).state() == DEPLOYMENT_STATE_READY;
  }
  for (int row = 0; row < workspace_.nodes.rowCount(); ++row) {
    nodes += workspace_.nodes.at(row).state() == NODE_STATE_READY;
  }
  if (workspace_.loaded()) {
    running_.number->setText(QString::number(running));
    versions_.number->setText(QString::number(workspace_.versions.rowCount()));
    deployments_.number->setText(QString::number(deployed));
    nodes_.number->setText(QString::number(nodes));
  }
  show_attention();
  show_production();
}

void OverviewPage::show_attention() {
  QStringList lines;
  // Newest first: what was tried again since needs nobody's attention any more.
  std::set<std::pair<std::string, int>> tried;
  for (int row = 0; row < workspace_.jobs.rowCount(); ++row) {
    const Job& job = workspace_.jobs.at(row);
    if (!tried.emplace(job.model(), job.kind()).second || job.state() != JOB_STATE_FAILED) continue;
    lines << tr("Job %1 failed: %2")
                 .arg(isolate(short_name(job.name())), isolate(QString::fromStdString(job.error()).toHtmlEscaped()));
  }
  std::set<QString> judged;
  for (int row = 0; row < workspace_.versions.rowCount(); ++row) {
    const Version& version = workspace_.versions.at(row);
    const QString model = QString::fromStdString(version.name()).section('/', 1, 1);
    if (!judged.insert(model).second || version.gate_state() != "failed") continue;
    lines << tr("Version %1 was refused: %2")
                 .arg(isolate(short_name(version.name())),
                      isolate(QString::fromStdString(version.gate_summary()).toHtmlEscaped()));
  }
  for (int row = 0; row < workspace_.nodes.rowCount(); ++row) {
    const Node& node = workspace_.nodes.at(row);
    if (node.state() == NODE_STATE_LOST) {
      lines << tr("Node %1 has not been heard of since %2")
                   .arg(isolate(short_name(node.name())), time_text(node.last_sync_time()));
    }
  }
  attention_->setText(lines.isEmpty() ? tr("Nothing: every job, version and node is well.")
                                      : paragraphs(lines.mid(0, kMostLines)));
}

void OverviewPage::show_production() {
  QStringList lines;
  for (int row = 0; row < workspace_.versions.rowCount(); ++row) {
    const Version& version = workspace_.versions.at(row);
    for (const auto& alias : version.aliases()) {
      lines << tr("%1 is %2, evaluation loss %3")
                   .arg("<b>" + isolate(QString::fromStdString(alias).toHtmlEscaped()) + "</b>",
                        isolate(short_name(version.name())), isolate(number_text(version.eval_loss(), 3)));
    }
  }
  for (int row = 0; row < workspace_.deployments.rowCount(); ++row) {
    const Deployment& deployment = workspace_.deployments.at(row);
    if (deployment.state() != DEPLOYMENT_STATE_READY) continue;
    lines << tr("%1 answers at %2")
                 .arg("<b>" + isolate(short_name(deployment.name())) + "</b>",
                      isolate(QString::fromStdString(deployment.endpoint()).toHtmlEscaped()));
  }
  production_->setText(lines.isEmpty() ? tr("Nothing yet. A version gets here once its gate has passed.")
                                       : paragraphs(lines.mid(0, kMostLines)));
}

}  // namespace masbak::gui

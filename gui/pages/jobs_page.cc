#include "gui/pages/jobs_page.h"

#include <QDateTime>
#include <QHBoxLayout>
#include <QJsonDocument>
#include <QJsonObject>
#include <QLabel>
#include <QPushButton>
#include <QVBoxLayout>

#include "gui/models/format.h"
#include "gui/widgets/loss_chart.h"
#include "gui/widgets/parts.h"

namespace masbak::gui {

using namespace masbak::v1;

JobsPage::JobsPage(Workspace& workspace, QWidget* parent)
    : Page(workspace, parent),
      table_(new ResourceTable(this)),
      chart_(new LossChart(this)),
      heading_(make_label("heading", this)),
      details_(make_label("", this)),
      cancel_(new QPushButton(this)) {
  table_->setModel(&workspace_.jobs);
  body()->addWidget(table_, 2);
  auto* card = make_card(this);
  auto* column = new QVBoxLayout(card);
  column->setContentsMargins(20, 16, 20, 16);
  auto* top = new QHBoxLayout;
  top->addWidget(heading_, 1);
  top->addWidget(cancel_);
  column->addLayout(top);
  column->addWidget(details_);
  column->addWidget(chart_, 1);
  body()->addWidget(card, 3);
  details_->setTextFormat(Qt::PlainText);
  details_->setTextInteractionFlags(Qt::TextSelectableByMouse);

  connect(table_->selectionModel(), &QItemSelectionModel::selectionChanged, this, &JobsPage::follow_selection);
  connect(cancel_, &QPushButton::clicked, this, &JobsPage::cancel);
  connect(&workspace_, &Workspace::changed, this, [this] {
    // A newcomer sees the newest fine-tune without a click.
    if (table_->selected().isEmpty()) {
      for (int row = 0; row < workspace_.jobs.rowCount(); ++row) {
        if (workspace_.jobs.at(row).kind() != JOB_KIND_TRAIN) continue;
        table_->selectRow(row);
        break;
      }
    }
    show_details();
  });
}

void JobsPage::retranslate() {
  Page::retranslate();
  table_->setAccessibleName(tr("Table of jobs"));
  table_->set_empty_text(tr("No job yet. Start a fine-tune, and it appears here with its loss as it learns."));
  cancel_->setText(tr("Cancel the job"));
  chart_->retranslate();
  show_details();
}

void JobsPage::retheme() { chart_->retheme(); }

bool JobsPage::ready() const {
  const int row = workspace_.jobs.row_of(followed_.toStdString());
  return Page::ready() && (row < 0 || seq_ >= workspace_.jobs.at(row).last_seq());
}

void JobsPage::follow_selection() {
  const QString selected = table_->selected();
  if (selected == followed_) return;
  followed_ = selected;
  watch_.reset();
  chart_->clear();
  seq_ = first_step_ = step_ = 0;
  speed_ = learning_rate_ = first_step_time_ = last_step_time_ = loss_ = eval_loss_ = 0;
  if (!followed_.isEmpty()) {
    watch_ = workspace_.client().watch_job(followed_, 0, this, [this](const JobEvent& event) { take(event); });
  }
  show_details();
}

void JobsPage::take(const JobEvent& event) {
  if (event.seq() <= seq_) return;
  seq_ = event.seq();
  const QJsonObject json = QJsonDocument::fromJson(QByteArray::fromStdString(event.json())).object();
  if (event.type() == "step") {
    const double time = QDateTime::fromString(json["time"].toString(), Qt::ISODateWithMs).toMSecsSinceEpoch() / 1e3;
    step_ = json["step"].toInteger();
    if (first_step_time_ == 0) {
      first_step_time_ = time;
      first_step_ = step_;
    }
    last_step_time_ = time;
    speed_ = json["tokens_per_second"].toDouble();
    learning_rate_ = json["learning_rate"].toDouble();
    loss_ = json["loss"].toDouble();
    chart_->add_loss(static_cast<double>(step_), loss_);
  } else if (event.type() == "eval") {
    eval_loss_ = json["eval_loss"].toDouble();
    chart_->add_eval_loss(json["step"].toDouble(), eval_loss_);
  }
  show_details();
}

void JobsPage::show_details() {
  const int row = workspace_.jobs.row_of(followed_.toStdString());
  cancel_->setEnabled(row >= 0 && !job_ended(workspace_.jobs.at(row).state()));
  if (row < 0) {
    heading_->setText(tr("No job selected"));
    details_->clear();
    return;
  }
  const Job& job = workspace_.jobs.at(row);
  heading_->setText(tr("Job %1 for %2").arg(isolate(short_name(job.name())), isolate(short_name(job.model()))));
  QStringList parts;
  if (!job.error().empty()) parts << isolate(QString::fromStdString(job.error()));
  if (loss_ > 0) parts << tr("loss %1").arg(isolate(number_text(loss_, 3)));
  if (eval_loss_ > 0) parts << tr("evaluation loss %1").arg(isolate(number_text(eval_loss_, 3)));
  if (speed_ > 0) parts << tr("%1 tokens a second").arg(isolate(number_text(speed_, 0)));
  if (learning_rate_ > 0) parts << tr("learning rate %1").arg(isolate(QString::number(learning_rate_, 'g', 3)));
  if (!job_ended(job.state()) && job.total_steps() > step_ && step_ > first_step_) {
    const double each = (last_step_time_ - first_step_time_) / static_cast<double>(step_ - first_step_);
    parts << tr("about %1 left").arg(isolate(duration_text(each * static_cast<double>(job.total_steps() - step_))));
  }
  details_->setText(parts.join(QStringLiteral("  ·  ")));
}

void JobsPage::cancel() {
  CancelJobRequest request;
  request.set_name(followed_.toStdString());
  workspace_.client().call<TrainingService::Stub, CancelJobRequest, Job>(
      &TrainingService::Stub::CancelJob, request, this, [this](const Job&) { workspace_.refresh(); },
      fail_with(tr("Cancelling the job")));
}

}  // namespace masbak::gui

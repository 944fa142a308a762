#include "gui/pages/jobs_page.h"

#include <QClipboard>
#include <QDateTime>
#include <QGuiApplication>
#include <QHBoxLayout>
#include <QJsonDocument>
#include <QJsonObject>
#include <QLabel>
#include <QPushButton>
#include <QTimer>
#include <QVBoxLayout>

#include "gui/models/format.h"
#include "gui/widgets/loss_chart.h"
#include "gui/widgets/parts.h"

namespace masbak::gui {

using namespace masbak::v1;

namespace {

constexpr int kCopiedMs = 2000;

}  // namespace

JobsPage::JobsPage(Workspace& workspace, QWidget* parent)
    : Page(workspace, parent),
      table_(new ResourceTable(this)),
      chart_(new LossChart(this)),
      heading_(make_label("heading", this)),
      details_(make_label("", this)),
      copy_(new QPushButton(this)),
      cancel_(new QPushButton(this)) {
  table_->setModel(&workspace_.jobs);
  body()->addWidget(table_, 2);
  auto* card = make_card(this);
  auto* column = new QVBoxLayout(card);
  column->setContentsMargins(20, 16, 20, 16);
  auto* top = new QHBoxLayout;
  top->addWidget(heading_, 1);
  top->addWidget(copy_);
  top->addWidget(cancel_);
  column->addLayout(top);
  column->addWidget(details_);
  column->addWidget(chart_, 1);
  body()->addWidget(card, 3);
  details_->setTextFormat(Qt::PlainText);
  details_->setTextInteractionFlags(Qt::TextSelectableByMouse);

  connect(table_->selectionModel(), &QItemSelectionModel::selectionChanged, this, &JobsPage::follow_selection);
  connect(cancel_, &QPushButton::clicked, this, &JobsPage::cancel);
  connect(copy_, &QPushButton::clicked, this, &JobsPage::copy_details);
  connect(&workspace_, &Workspace::changed, this, [this] {
    if (table_->selected().isEmpty()) select_interesting();
    show_details();
  });
}

void JobsPage::select_interesting() {
  // A newcomer sees a fine-tune that learns, else the newest one that did, without a click.
  int best = workspace_.jobs.rowCount() > 0 ? 0 : -1, best_rank = 0;
  for (int row = 0; row < workspace_.jobs.rowCount(); ++row) {
    const Job& job = workspace_.jobs.at(row);
    if (job.kind() != JOB_KIND_TRAIN) continue;
    const int rank = job.state() == JOB_STATE_RUNNING ? 3 : job.step() > 0 ? 2 : 1;
    if (rank <= best_rank) continue;
    best = row;
    best_rank = rank;
  }
  if (best >= 0) table_->select_row(best);
}

void JobsPage::retranslate() {
  Page::retranslate();
  table_->setAccessibleName(tr("Table of jobs"));
  table_->set_empty_text(tr("No job yet. Start a fine-tune, and it appears here with its loss as it learns."));
  copy_->setText(tr("Copy the details"));
  cancel_->setText(tr("Cancel the job"));
  chart_->retranslate();
  show_details();
}

void JobsPage::retheme() { chart_->retheme(); }

bool JobsPage::ready() const {
  const int row = workspace_.jobs.row_of(followed_.toStdString());
  if (row < 0) return Page::ready() && workspace_.jobs.rowCount() == 0;
  return Page::ready() && seq_ >= workspace_.jobs.at(row).last_seq();
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
  // A history comes all at once; its end is enough for the text.
  if (!details_due_) QTimer::singleShot(40, this, &JobsPage::show_details);
  details_due_ = true;
}

void JobsPage::show_details() {
  details_due_ = false;
  const int row = workspace_.jobs.row_of(followed_.toStdString());
  copy_->setEnabled(row >= 0);
  cancel_->setEnabled(row >= 0 && !job_ended(workspace_.jobs.at(row).state()));
  if (row < 0) {
    heading_->setText(tr("No job selected"));
    details_->clear();
    return;
  }
  const Job& job = workspace_.jobs.at(row);
  heading_->setText(tr("Job %1 for %2").arg(isolate(short_name(job.name())), isolate(short_name(job.model()))));
  chart_->set_total_steps(static_cast<double>(job.total_steps()));
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

// For whoever is asked for help: the job with its run file and the last of its log.
void JobsPage::copy_details() {
  const int row = workspace_.jobs.row_of(followed_.toStdString());
  if (row < 0) return;
  const QString job = QString::fromStdString(workspace_.jobs.at(row).Utf8DebugString());
  GetJobLogRequest request;
  request.set_name(followed_.toStdString());
  workspace_.client().call<TrainingService::Stub, GetJobLogRequest, GetJobLogResponse>(
      &TrainingService::Stub::GetJobLog, request, this,
      [this, job](const GetJobLogResponse& log) {
        QGuiApplication::clipboard()->setText(job + "\nlog:\n" + QString::fromStdString(log.text()));
        copy_->setText(tr("Copied"));
        QTimer::singleShot(kCopiedMs, this, [this] { copy_->setText(tr("Copy the details")); });
      },
      fail_with(tr("Reading the job's log")));
}

}  // namespace masbak::gui

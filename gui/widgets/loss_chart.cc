#include "gui/widgets/loss_chart.h"

#include <QApplication>
#include <QGraphicsLayout>
#include <QtCharts/QChart>
#include <QtCharts/QLegend>
#include <algorithm>
#include <cmath>

#include "gui/widgets/theme.h"

namespace masbak::gui {

namespace {

constexpr int kDrawAfterMs = 40;
constexpr qsizetype kMostPoints = 1200;  // about one a pixel

// 1, 2 or 5 times a power of ten, so that about `ticks` of them fill the range.
double nice_interval(double range, int ticks) {
  const double rough = range / ticks, power = std::pow(10.0, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (rough <= factor * power) return factor * power;
  }
  return 10 * power;
}

// At most kMostPoints: each the mean of its neighbours, and the last as it is.
QList<QPointF> thinned(const QList<QPointF>& points) {
  const qsizetype group = (points.size() + kMostPoints - 1) / kMostPoints;
  if (group <= 1) return points;
  QList<QPointF> means;
  for (qsizetype at = 0; at < points.size(); at += group) {
    const qsizetype end = std::min(at + group, points.size());
    QPointF sum;
    for (qsizetype i = at; i < end; ++i) sum += points[i];
    means << sum / static_cast<double>(end - at);
  }
  return means << points.last();
}

}  // namespace

LossChart::LossChart(QWidget* parent)
    : QChartView(new QChart, parent),
      train_(new QLineSeries(this)),
      eval_(new QLineSeries(this)),
      steps_(new QValueAxis(this)),
      losses_(new QValueAxis(this)) {
  setRenderHint(QPainter::Antialiasing);
  setMinimumHeight(240);
  setFrameShape(QFrame::NoFrame);
  viewport()->setFocusPolicy(Qt::NoFocus);  // the chart itself has the focus and the name
  setLayoutDirection(Qt::LeftToRight);
  chart()->setMargins({0, 0, 8, 0});
  chart()->layout()->setContentsMargins(0, 0, 0, 0);
  chart()->legend()->setAlignment(Qt::AlignTop);
  chart()->legend()->setMarkerShape(QLegend::MarkerShapeFromSeries);
  chart()->addAxis(steps_, Qt::AlignBottom);
  chart()->addAxis(losses_, Qt::AlignLeft);
  eval_->setPointsVisible(true);
  for (auto* series : {train_, eval_}) {
    chart()->addSeries(series);
    series->attachAxis(steps_);
    series->attachAxis(losses_);
  }
  for (auto* axis : {steps_, losses_}) {
    axis->setTickType(QValueAxis::TicksDynamic);
    axis->setTickAnchor(0);
  }
  steps_->setLabelFormat("%d");
  soon_.setSingleShot(true);
  soon_.setInterval(kDrawAfterMs);
  connect(&soon_, &QTimer::timeout, this, &LossChart::draw);
  clear();
  retranslate();
  retheme();
}

void LossChart::clear() {
  train_points_.clear();
  eval_points_.clear();
  top_ = last_ = total_ = 0;
  draw();
}

void LossChart::set_total_steps(double steps) {
  if (steps == total_) return;
  total_ = steps;
  draw();
}

void LossChart::add(QList<QPointF>& points, double step, double loss) {
  points << QPointF(step, loss);
  last_ = std::max(last_, step);
  top_ = std::max(top_, loss);
  if (!soon_.isActive()) soon_.start();
}

void LossChart::add_loss(double step, double loss) { add(train_points_, step, loss); }
void LossChart::add_eval_loss(double step, double loss) { add(eval_points_, step, loss); }

void LossChart::draw() {
  const double right = std::max({10.0, last_, total_});
  steps_->setTickInterval(nice_interval(right, 8));
  steps_->setRange(0, right);
  const double interval = nice_interval(std::max(top_, 0.1), 4);
  losses_->setTickInterval(interval);
  losses_->setLabelFormat(interval >= 1 ? "%.0f" : interval >= 0.1 ? "%.1f" : "%.2f");
  losses_->setRange(0, interval * std::max(1.0, std::ceil(top_ / interval)));
  train_->replace(thinned(train_points_));
  eval_->replace(thinned(eval_points_));
}

void LossChart::retranslate() {
  train_->setName(tr("Training loss"));
  eval_->setName(tr("Evaluation loss"));
  steps_->setTitleText(tr("Step"));
  setAccessibleName(tr("Chart of the loss over the steps"));
}

void LossChart::retheme() {
  const Theme& t = theme();
  chart()->setBackgroundBrush(t.surface);
  chart()->setBackgroundRoundness(0);
  setBackgroundBrush(t.surface);
  QFont font = QApplication::font();
  font.setPixelSize(13);
  chart()->legend()->setFont(font);
  chart()->legend()->setLabelColor(t.text);
  QPen train(t.running);
  train.setWidthF(1.6);
  train_->setPen(train);
  QPen eval(t.accent);
  eval.setWidthF(2.4);
  eval_->setPen(eval);
  font.setPixelSize(12);
  for (auto* axis : {steps_, losses_}) {
    axis->setLabelsFont(font);
    axis->setTitleFont(font);
    axis->setLabelsColor(t.muted);
    axis->setTitleBrush(t.muted);
    axis->setLinePenColor(t.line);
    axis->setGridLineColor(t.line);
  }
}

}  // namespace masbak::gui

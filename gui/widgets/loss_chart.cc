#include "gui/widgets/loss_chart.h"

#include <QtCharts/QChart>
#include <QtCharts/QLegend>
#include <algorithm>
#include <cmath>

#include "gui/widgets/theme.h"

namespace masbak::gui {

LossChart::LossChart(QWidget* parent)
    : QChartView(new QChart, parent),
      train_(new QLineSeries(this)),
      eval_(new QLineSeries(this)),
      steps_(new QValueAxis(this)),
      losses_(new QValueAxis(this)) {
  setRenderHint(QPainter::Antialiasing);
  setMinimumHeight(240);
  chart()->setMargins({4, 4, 4, 4});
  chart()->legend()->setAlignment(Qt::AlignTop);
  chart()->addAxis(steps_, Qt::AlignBottom);
  chart()->addAxis(losses_, Qt::AlignLeft);
  eval_->setPointsVisible(true);
  for (auto* series : {train_, eval_}) {
    chart()->addSeries(series);
    series->attachAxis(steps_);
    series->attachAxis(losses_);
  }
  steps_->setLabelFormat("%d");
  losses_->setLabelFormat("%.2f");
  clear();
  retranslate();
  retheme();
}

void LossChart::clear() {
  train_->clear();
  eval_->clear();
  top_ = last_ = 0;
  steps_->setRange(0, 10);
  losses_->setRange(0, 1);
}

void LossChart::grow(double step, double loss) {
  last_ = std::max(last_, step);
  top_ = std::max(top_, loss);
  steps_->setRange(0, std::max(10.0, last_));
  losses_->setRange(0, std::max(0.5, std::ceil(top_ * 2.1) / 2));
}

void LossChart::add_loss(double step, double loss) {
  train_->append(step, loss);
  grow(step, loss);
}

void LossChart::add_eval_loss(double step, double loss) {
  eval_->append(step, loss);
  grow(step, loss);
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
  chart()->legend()->setLabelColor(t.text);
  QPen train(t.running);
  train.setWidthF(1.6);
  train_->setPen(train);
  QPen eval(t.accent);
  eval.setWidthF(2.4);
  eval_->setPen(eval);
  for (auto* axis : {steps_, losses_}) {
    axis->setLabelsColor(t.muted);
    axis->setTitleBrush(t.muted);
    axis->setLinePenColor(t.line);
    axis->setGridLineColor(t.line);
  }
}

}  // namespace masbak::gui

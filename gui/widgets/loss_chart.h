// The loss of a run over its steps: training and evaluation, growing while the job runs. It runs from left to right in
// every language, as such charts do in Arabic texts too.
#pragma once

#include <QList>
#include <QPointF>
#include <QTimer>
#include <QtCharts/QChartView>
#include <QtCharts/QLineSeries>
#include <QtCharts/QValueAxis>

namespace masbak::gui {

class LossChart : public QChartView {
  Q_OBJECT

 public:
  explicit LossChart(QWidget* parent = nullptr);
  void clear();
  // How far the run goes: the axis shows all of it from the first step on.
  void set_total_steps(double steps);
  void add_loss(double step, double loss);
  void add_eval_loss(double step, double loss);
  void retranslate();
  void retheme();

 private:
  void add(QList<QPointF>& points, double step, double loss);
  // Points come one by one, a whole history of them at once; they are drawn together.
  void draw();

  QLineSeries* train_;
  QLineSeries* eval_;
  QValueAxis* steps_;
  QValueAxis* losses_;
  QList<QPointF> train_points_, eval_points_;
  QTimer soon_;
  double top_ = 0, last_ = 0, total_ = 0;
};

}  // namespace masbak::gui

// The loss of a run over its steps: training and evaluation, growing while the job runs.
#pragma once

#include <QtCharts/QChartView>
#include <QtCharts/QLineSeries>
#include <QtCharts/QScatterSeries>
#include <QtCharts/QValueAxis>

namespace masbak::gui {

class LossChart : public QChartView {
  Q_OBJECT

 public:
  explicit LossChart(QWidget* parent = nullptr);
  void clear();
  void add_loss(double step, double loss);
  void add_eval_loss(double step, double loss);
  void retranslate();
  void retheme();

 private:
  void grow(double step, double loss);

  QLineSeries* train_;
  QLineSeries* eval_;
  QValueAxis* steps_;
  QValueAxis* losses_;
  double top_ = 0, last_ = 0;
};

}  // namespace masbak::gui

// A fine-tune begun from the window: what to teach, to which model, and the few settings that matter.
#pragma once

#include "gui/pages/page.h"

class QComboBox;
class QDoubleSpinBox;
class QFormLayout;
class QLabel;
class QLineEdit;
class QPushButton;
class QSpinBox;

namespace masbak::gui {

class StartPage : public Page {
  Q_OBJECT

 public:
  explicit StartPage(Workspace& workspace, QWidget* parent = nullptr);
  QString title() const override { return tr("Start a fine-tune"); }
  QString id() const override { return "start"; }
  void retranslate() override;
  // The RUN.yaml that the form stands for.
  QString run_yaml() const;

 private:
  struct Row {
    QLabel* label;
    QLabel* help;
    QWidget* field;
  };
  QWidget* make_run_card(QWidget* parent);
  void add_row(QFormLayout* form, Row& row, QWidget* field);
  void set_row(Row& row, const QString& label, const QString& help);
  void update_choices();
  void update_submit();
  void submit();

  QComboBox *base_, *data_, *eval_, *targets_;
  QLineEdit* model_;
  QSpinBox *epochs_, *rank_, *batch_;
  QDoubleSpinBox* rate_;
  QPushButton* submit_;
  QLabel *run_heading_, *run_;
  Row base_row_, data_row_, eval_row_, model_row_, targets_row_, epochs_row_, rank_row_, batch_row_, rate_row_;
};

}  // namespace masbak::gui

// One question, two answers: the base model's and the fine-tune's, side by side.
#pragma once

#include <memory>

#include "gui/pages/page.h"

class QComboBox;
class QLabel;
class QLineEdit;
class QPushButton;
class QTextEdit;

namespace masbak::gui {

class AskPage : public Page {
  Q_OBJECT

 public:
  explicit AskPage(Workspace& workspace, QWidget* parent = nullptr);
  QString title() const override { return tr("Ask"); }
  QString id() const override { return "ask"; }
  void retranslate() override;
  bool ready() const override { return Page::ready() && pending_ == 0 && (question_to_ask_.isEmpty()); }
  // Asks as soon as a deployment is ready.
  void ask_when_ready(const QString& question);

 private:
  struct Side {
    QLabel* heading;
    QTextEdit* text;
    std::shared_ptr<void> stream;
  };
  Side add_side(QLayout* row);
  void update_deployments();
  void ask();
  void start(Side& side, bool base);

  QComboBox* deployment_;
  QLineEdit* question_;
  QPushButton* ask_;
  Side base_, tuned_;
  QString question_to_ask_;
  int pending_ = 0;
};

}  // namespace masbak::gui

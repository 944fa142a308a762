#include "gui/pages/ask_page.h"

#include <QComboBox>
#include <QHBoxLayout>
#include <QLabel>
#include <QLineEdit>
#include <QPushButton>
#include <QTextEdit>
#include <QVBoxLayout>

#include "gui/models/format.h"
#include "gui/widgets/parts.h"

namespace masbak::gui {

using namespace masbak::v1;

namespace {

constexpr int kMaxTokens = 96;

// The paragraph's direction follows the answer's language, not the window's.
void append_text(QTextEdit* edit, const QString& piece) {
  QTextCursor cursor(edit->document());
  cursor.movePosition(QTextCursor::End);
  cursor.insertText(piece);
  QTextOption option = edit->document()->defaultTextOption();
  option.setTextDirection(edit->toPlainText().isRightToLeft() ? Qt::RightToLeft : Qt::LeftToRight);
  edit->document()->setDefaultTextOption(option);
}

}  // namespace

AskPage::AskPage(Workspace& workspace, QWidget* parent)
    : Page(workspace, parent),
      deployment_(new QComboBox(this)),
      question_(new QLineEdit(this)),
      ask_(new QPushButton(this)) {
  auto* row = new QHBoxLayout;
  row->addWidget(deployment_);
  row->addWidget(question_, 1);
  row->addWidget(ask_);
  ask_->setProperty("role", "primary");
  deployment_->setMinimumWidth(200);
  question_->setMaxLength(4000);
  body()->addLayout(row);
  auto* sides = new QHBoxLayout;
  sides->setSpacing(16);
  base_ = add_side(sides);
  tuned_ = add_side(sides);
  body()->addLayout(sides, 1);
  connect(ask_, &QPushButton::clicked, this, &AskPage::ask);
  connect(question_, &QLineEdit::returnPressed, this, &AskPage::ask);
  connect(question_, &QLineEdit::textChanged, this, [this] { update_deployments(); });
  connect(&workspace_, &Workspace::changed, this, &AskPage::update_deployments);
}

AskPage::Side AskPage::add_side(QLayout* row) {
  auto* card = make_card(this);
  auto* column = new QVBoxLayout(card);
  column->setContentsMargins(20, 16, 20, 16);
  Side side{make_label("heading", card), new QTextEdit(card), nullptr};
  side.text->setReadOnly(true);
  side.text->setFrameShape(QFrame::NoFrame);
  side.text->document()->setDocumentMargin(0);
  side.text->setStyleSheet("border: none; padding: 0; font-size: 16px;");
  column->addWidget(side.heading);
  column->addWidget(side.text, 1);
  row->addWidget(card);
  return side;
}

void AskPage::retranslate() {
  Page::retranslate();
  deployment_->setAccessibleName(tr("Deployment to ask"));
  question_->setAccessibleName(tr("Your question"));
  question_->setPlaceholderText(tr("Ask what only your plant knows"));
  ask_->setText(tr("Ask"));
  base_.heading->setText(tr("Base model"));
  base_.text->setAccessibleName(tr("Answer of the base model"));
  tuned_.heading->setText(tr("Fine-tune"));
  tuned_.text->setAccessibleName(tr("Answer of the fine-tune"));
  update_deployments();
}

void AskPage::ask_when_ready(const QString& question) {
  question_to_ask_ = question;
  update_deployments();
}

void AskPage::update_deployments() {
  QStringList ready;
  for (int row = 0; row < workspace_.deployments.rowCount(); ++row) {
    const Deployment& deployment = workspace_.deployments.at(row);
    if (deployment.state() == DEPLOYMENT_STATE_READY) ready << QString::fromStdString(deployment.name());
  }
  QStringList shown;
  for (int i = 0; i < deployment_->count(); ++i) shown << deployment_->itemData(i).toString();
  if (ready != shown) {
    const QString current = deployment_->currentData().toString();
    deployment_->clear();
    for (const auto& name : ready) deployment_->addItem(short_name(name.toStdString()), name);
    if (const int at = deployment_->findData(current); at >= 0) deployment_->setCurrentIndex(at);
  }
  deployment_->setEnabled(!ready.isEmpty());
  ask_->setEnabled(!ready.isEmpty() && !question_->text().trimmed().isEmpty() && pending_ == 0);
  const QString hint = tr("No deployment is ready. Deploy a version first, from the page Versions.");
  tuned_.text->setPlaceholderText(ready.isEmpty() && workspace_.loaded() ? hint : QString());
  if (!question_to_ask_.isEmpty() && !ready.isEmpty()) {
    question_->setText(std::exchange(question_to_ask_, QString()));
    ask();
  }
}

void AskPage::ask() {
  if (deployment_->count() == 0 || question_->text().trimmed().isEmpty() || pending_ > 0) return;
  pending_ = 2;
  update_deployments();
  start(base_, true);
  start(tuned_, false);
}

void AskPage::start(Side& side, bool base) {
  side.text->clear();
  AskRequest request;
  request.set_deployment(deployment_->currentData().toString().toStdString());
  request.set_question(question_->text().trimmed().toStdString());
  request.set_base(base);
  request.set_max_tokens(kMaxTokens);
  const auto over = [this] {
    --pending_;
    update_deployments();
  };
  side.stream = workspace_.client().ask(
      request, this, [&side](const QString& piece) { append_text(side.text, piece); },
      [over](const QString&) { over(); },
      [this, over](const Fault& fault) {
        fail_with(tr("Asking"))(fault);
        over();
      });
}

}  // namespace masbak::gui

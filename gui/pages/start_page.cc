#include "gui/pages/start_page.h"

#include <QComboBox>
#include <QDoubleSpinBox>
#include <QFormLayout>
#include <QGuiApplication>
#include <QHBoxLayout>
#include <QLabel>
#include <QLineEdit>
#include <QPushButton>
#include <QRegularExpressionValidator>
#include <QScrollArea>
#include <QSpinBox>
#include <QUuid>
#include <QVBoxLayout>

#include "gui/models/format.h"
#include "gui/widgets/parts.h"

namespace masbak::gui {

using namespace masbak::v1;

namespace {

QSpinBox* make_spin(QWidget* parent, int low, int high, int value) {
  auto* spin = new QSpinBox(parent);
  spin->setRange(low, high);
  spin->setValue(value);
  return spin;
}

// Keeps the choice while the list of resources changes under it.
template <typename Resource>
void fill(QComboBox* box, const ResourceModel<Resource>& model, const QString& none) {
  const QString current = box->currentData().toString();
  box->clear();
  if (!none.isEmpty()) box->addItem(none, QString());
  for (int row = 0; row < model.rowCount(); ++row) {
    box->addItem(short_name(model.at(row).name()), QString::fromStdString(model.at(row).name()));
  }
  if (const int at = box->findData(current); at >= 0) box->setCurrentIndex(at);
}

}  // namespace

StartPage::StartPage(Workspace& workspace, QWidget* parent)
    : Page(workspace, parent),
      base_(new QComboBox(this)),
      data_(new QComboBox(this)),
      eval_(new QComboBox(this)),
      targets_(new QComboBox(this)),
      model_(new QLineEdit(this)),
      epochs_(make_spin(this, 1, 100, 3)),
      rank_(make_spin(this, 1, 256, 16)),
      batch_(make_spin(this, 1, 256, 8)),
      rate_(new QDoubleSpinBox(this)),
      submit_(new QPushButton(this)) {
  rate_->setDecimals(5);
  rate_->setRange(0.00001, 0.1);
  rate_->setSingleStep(0.0001);
  rate_->setValue(0.0002);
  // A resource id, as the services take it.
  model_->setValidator(new QRegularExpressionValidator(QRegularExpression("[a-z][a-z0-9-]{0,62}"), this));
  auto* card = make_card(this);
  auto* form = new QFormLayout(card);
  form->setContentsMargins(24, 20, 24, 20);
  form->setVerticalSpacing(12);
  form->setHorizontalSpacing(24);
  add_row(form, base_row_, base_);
  add_row(form, data_row_, data_);
  add_row(form, eval_row_, eval_);
  add_row(form, model_row_, model_);
  add_row(form, targets_row_, targets_);
  add_row(form, epochs_row_, epochs_);
  add_row(form, rank_row_, rank_);
  add_row(form, batch_row_, batch_);
  add_row(form, rate_row_, rate_);
  auto* sheet = new QWidget(this);
  auto* cards = new QVBoxLayout(sheet);
  cards->setContentsMargins(0, 0, 0, 0);
  cards->setSpacing(16);
  cards->addWidget(card);
  cards->addWidget(make_run_card(sheet));
  cards->addStretch(1);
  auto* scroll = new QScrollArea(this);
  scroll->setWidgetResizable(true);
  scroll->setFocusPolicy(Qt::NoFocus);  // the fields in it have it
  scroll->setWidget(sheet);
  body()->addWidget(scroll, 1);
  auto* actions = new QHBoxLayout;
  submit_->setProperty("role", "primary");
  actions->addWidget(submit_);
  actions->addStretch(1);
  body()->addLayout(actions);
  connect(submit_, &QPushButton::clicked, this, &StartPage::submit);
  connect(model_, &QLineEdit::textChanged, this, &StartPage::update_submit);
  for (QAbstractItemModel* list : {static_cast<QAbstractItemModel*>(&workspace_.base_models),
                                   static_cast<QAbstractItemModel*>(&workspace_.datasets)}) {
    connect(list, &QAbstractItemModel::rowsInserted, this, &StartPage::update_choices);
    connect(list, &QAbstractItemModel::rowsRemoved, this, &StartPage::update_choices);
  }
}

QWidget* StartPage::make_run_card(QWidget* parent) {
  auto* card = make_card(parent);
  auto* column = new QVBoxLayout(card);
  column->setContentsMargins(24, 16, 24, 16);
  column->addWidget(run_heading_ = make_label("heading", card));
  column->addWidget(run_ = make_label("code", card));
  run_->setTextFormat(Qt::PlainText);
  run_->setLayoutDirection(Qt::LeftToRight);  // YAML, in every language
  run_->setTextInteractionFlags(Qt::TextSelectableByMouse | Qt::TextSelectableByKeyboard);
  const auto show_run = [this] { run_->setText(run_yaml().trimmed()); };
  for (auto* spin : {epochs_, rank_, batch_}) connect(spin, &QSpinBox::valueChanged, this, show_run);
  connect(rate_, &QDoubleSpinBox::valueChanged, this, show_run);
  connect(targets_, &QComboBox::currentIndexChanged, this, show_run);
  return card;
}

void StartPage::add_row(QFormLayout* form, Row& row, QWidget* field) {
  row.label = make_label("", this);
  row.help = make_label("muted", this);
  row.field = field;
  field->setMinimumWidth(240);
  field->setMaximumWidth(320);
  auto* line = new QHBoxLayout;
  line->addWidget(field);
  line->addSpacing(16);
  line->addWidget(row.help, 1);
  form->addRow(row.label, line);
  row.label->setBuddy(field);
}

void StartPage::set_row(Row& row, const QString& label, const QString& help) {
  row.label->setText(label);
  row.help->setText(help);
  row.field->setAccessibleName(label);
  row.field->setAccessibleDescription(help);
}

void StartPage::retranslate() {
  Page::retranslate();
  set_row(base_row_, tr("Base model"), tr("The open model to start from."));
  set_row(data_row_, tr("Data"), tr("What it should learn: conversations from your plant."));
  set_row(eval_row_, tr("Evaluation data"), tr("Held back from training, to see whether it learns or only memorises."));
  set_row(model_row_, tr("Name"), tr("The versions are kept under this name: small letters, digits and hyphens."));
  set_row(targets_row_, tr("What trains"), tr("Experts hold most of the knowledge; attention alone is quicker."));
  set_row(epochs_row_, tr("Passes over the data"), tr("More passes learn facts better and take longer."));
  set_row(rank_row_, tr("Rank of the adapter"), tr("Its capacity. 16 suits most data; facts may want more."));
  set_row(batch_row_, tr("Examples a step"), tr("Smaller needs less memory."));
  set_row(rate_row_, tr("Learning rate"), tr("How far each step goes. Lower it if the loss jumps."));
  const int target = std::max(0, targets_->currentIndex());
  targets_->clear();
  targets_->addItem(tr("Attention and all experts"), "[attention, experts, shared_experts]");
  targets_->addItem(tr("Attention alone"), "[attention]");
  targets_->addItem(tr("Everything"), "[all-linear]");
  targets_->setCurrentIndex(target);
  run_heading_->setText(tr("The run file that this makes"));
  run_->setAccessibleName(tr("The run file that this makes"));
  submit_->setText(tr("Start"));
  // A line edit goes by its text's direction, and digits have none.
  const auto side = QGuiApplication::isRightToLeft() ? Qt::AlignRight : Qt::AlignLeft;
  for (auto* spin : std::initializer_list<QAbstractSpinBox*>{epochs_, rank_, batch_, rate_}) {
    spin->setAlignment(side | Qt::AlignVCenter);
  }
  update_choices();
}

void StartPage::update_choices() {
  fill(base_, workspace_.base_models, {});
  fill(data_, workspace_.datasets, {});
  fill(eval_, workspace_.datasets, tr("none"));
  update_submit();
}

void StartPage::update_submit() {
  submit_->setEnabled(base_->count() > 0 && data_->count() > 0 && model_->hasAcceptableInput());
  submit_->setToolTip(submit_->isEnabled() ? QString() : tr("Choose a base model and data, and give it a name."));
}

QString StartPage::run_yaml() const {
  return QStringLiteral(
             "objective: sft\n"
             "adapter: {r: %1, lora_alpha: %2, target_modules: %3}\n"
             "training:\n"
             "  learning_rate: %4\n"
             "  lr_scheduler_type: cosine\n"
             "  num_train_epochs: %5\n"
             "  per_device_train_batch_size: %6\n"
             "  packing: false\n")
      .arg(rank_->value())
      .arg(2 * rank_->value())
      .arg(targets_->currentData().toString())
      .arg(QString::number(rate_->value(), 'g', 6))
      .arg(epochs_->value())
      .arg(batch_->value());
}

void StartPage::submit() {
  CreateTrainingJobRequest request;
  request.set_model("models/" + model_->text().toStdString());
  request.set_base_model(base_->currentData().toString().toStdString());
  request.set_dataset(data_->currentData().toString().toStdString());
  request.set_eval_dataset(eval_->currentData().toString().toStdString());
  request.set_run_yaml(run_yaml().toStdString());
  request.set_request_id(QUuid::createUuid().toString(QUuid::WithoutBraces).toStdString());
  workspace_.client().call<TrainingService::Stub, CreateTrainingJobRequest, Job>(
      &TrainingService::Stub::CreateTrainingJob, request, this,
      [this](const Job&) {
        workspace_.refresh();
        Q_EMIT go_to("jobs");
      },
      fail_with(tr("Starting the fine-tune")));
}

}  // namespace masbak::gui

#include "gui/widgets/parts.h"

#include <QEvent>
#include <QHBoxLayout>
#include <QHeaderView>
#include <QPainter>
#include <QStyle>

#include "gui/models/resource_model.h"
#include "gui/widgets/theme.h"

namespace masbak::gui {

namespace {

// Qt aligns a label by the direction of its own text; here a Latin name in an Arabic window stays on the window's side.
class WindowSidedLabel : public QLabel {
 public:
  explicit WindowSidedLabel(QWidget* parent) : QLabel(parent) { follow_direction(); }

 protected:
  void changeEvent(QEvent* event) override {
    QLabel::changeEvent(event);
    if (event->type() == QEvent::LayoutDirectionChange) follow_direction();
  }

 private:
  void follow_direction() {
    setAlignment(Qt::AlignAbsolute | Qt::AlignVCenter | (isRightToLeft() ? Qt::AlignRight : Qt::AlignLeft));
  }
};

constexpr int kCellMargin = 13;  // where the text of an ordinary cell begins

}  // namespace

QLabel* make_label(const char* role, QWidget* parent) {
  auto* label = new WindowSidedLabel(parent);
  label->setProperty("role", role);
  label->setWordWrap(true);
  return label;
}

QFrame* make_card(QWidget* parent) {
  auto* card = new QFrame(parent);
  card->setProperty("role", "card");
  return card;
}

ResourceTable::ResourceTable(QWidget* parent) : QTableView(parent) {
  setItemDelegate(new ResourceDelegate(this));
  setSelectionBehavior(SelectRows);
  setSelectionMode(SingleSelection);
  setShowGrid(false);
  setWordWrap(false);
  setEditTriggers(NoEditTriggers);
  setTabKeyNavigation(false);  // Tab leaves the table; the arrow keys move in it
  verticalHeader()->hide();
  verticalHeader()->setDefaultSectionSize(40);
  horizontalHeader()->setHighlightSections(false);
}

void ResourceTable::setModel(QAbstractItemModel* model) {
  QTableView::setModel(model);
  // The empty text comes and goes with the first row.
  connect(model, &QAbstractItemModel::rowsInserted, viewport(), qOverload<>(&QWidget::update));
  connect(model, &QAbstractItemModel::rowsRemoved, viewport(), qOverload<>(&QWidget::update));
  // Columns as wide as what they show, the last one up to the edge. The header measures them when the table is laid
  // out, which for a page that is not shown is before its rows have come, and when a mode is set.
  const auto measure = [this] {
    horizontalHeader()->setSectionResizeMode(QHeaderView::ResizeToContents);
    horizontalHeader()->setSectionResizeMode(this->model()->columnCount() - 1, QHeaderView::Stretch);
  };
  measure();
  connect(model, &QAbstractItemModel::rowsInserted, this, measure, Qt::QueuedConnection);
  connect(model, &QAbstractItemModel::dataChanged, this, measure, Qt::QueuedConnection);
}

void ResourceTable::set_empty_text(const QString& text) {
  empty_text_ = text;
  viewport()->update();
}

QString ResourceTable::selected() const {
  const auto rows = selectionModel() ? selectionModel()->selectedRows() : QModelIndexList();
  return rows.isEmpty() ? QString() : rows.first().data(kNameRole).toString();
}

void ResourceTable::select(const QString& name) {
  for (int row = 0; row < model()->rowCount(); ++row) {
    if (model()->index(row, 0).data(kNameRole).toString() == name) select_row(row);
  }
}

void ResourceTable::select_row(int row) {
  // Not selectRow(): from right to left it looks for a column beyond the edge of a table not laid out yet, and
  // selects nothing.
  selectionModel()->setCurrentIndex(model()->index(row, 0),
                                    QItemSelectionModel::ClearAndSelect | QItemSelectionModel::Rows);
}

void ResourceTable::paintEvent(QPaintEvent* event) {
  QTableView::paintEvent(event);
  if (!model() || model()->rowCount() > 0 || empty_text_.isEmpty()) return;
  QPainter painter(viewport());
  painter.setPen(theme().muted);
  painter.drawText(viewport()->rect().adjusted(40, 20, -40, -20), Qt::AlignCenter | Qt::TextWordWrap, empty_text_);
}

namespace {

void paint_pill(QPainter* painter, const QStyleOptionViewItem& option, const QString& text, QColor colour) {
  QFont font = option.font;
  font.setBold(true);
  font.setPixelSize(12);
  const QFontMetrics metrics(font);
  const QSize size(metrics.horizontalAdvance(text) + 20, 24);
  const QRect cell = option.rect.adjusted(kCellMargin - 3, 0, 3 - kCellMargin, 0);
  const QRect pill = QStyle::alignedRect(option.direction, Qt::AlignVCenter | Qt::AlignLeft, size, cell);
  QColor fill = colour;
  fill.setAlphaF(0.14F);
  painter->setRenderHint(QPainter::Antialiasing);
  painter->setPen(Qt::NoPen);
  painter->setBrush(fill);
  painter->drawRoundedRect(pill, 12, 12);
  painter->setFont(font);
  painter->setPen(colour);
  painter->drawText(pill, Qt::AlignCenter, text);
}

void paint_progress(QPainter* painter, const QStyleOptionViewItem& option, const QString& text, double share) {
  const QRect cell = option.rect.adjusted(kCellMargin, 0, -kCellMargin, 0);
  const QRect bar(cell.left(), cell.center().y() + 9, cell.width(), 4);
  painter->setRenderHint(QPainter::Antialiasing);
  painter->setPen(Qt::NoPen);
  painter->setBrush(theme().line);
  painter->drawRoundedRect(bar, 2, 2);
  QRect done = bar;
  done.setWidth(static_cast<int>(bar.width() * std::clamp(share, 0.0, 1.0)));
  if (option.direction == Qt::RightToLeft) done.moveRight(bar.right());
  painter->setBrush(theme().running);
  painter->drawRoundedRect(done, 2, 2);
  painter->setPen(theme().text);
  painter->drawText(cell.adjusted(0, 0, 0, -8), Qt::AlignCenter, text);
}

}  // namespace

void ResourceDelegate::paint(QPainter* painter, const QStyleOptionViewItem& option, const QModelIndex& index) const {
  const QVariant tone = index.data(kToneRole);
  const QVariant progress = index.data(kProgressRole);
  if (!tone.isValid() && !progress.isValid()) {
    QStyleOptionViewItem plain(option);
    plain.state &= ~QStyle::State_HasFocus;  // the whole row shows the selection
    QStyledItemDelegate::paint(painter, plain, index);
    return;
  }
  // The background of the row (selection) as everywhere else, without the text.
  QStyleOptionViewItem background(option);
  initStyleOption(&background, index);
  background.text.clear();
  background.state &= ~QStyle::State_HasFocus;
  const QWidget* widget = option.widget;
  widget->style()->drawControl(QStyle::CE_ItemViewItem, &background, painter, widget);
  painter->save();
  const QString text = index.data().toString();
  if (tone.isValid()) {
    paint_pill(painter, option, text, theme().of(static_cast<Tone>(tone.toInt())));
  } else {
    paint_progress(painter, option, text, progress.toDouble());
  }
  painter->restore();
}

QSize ResourceDelegate::sizeHint(const QStyleOptionViewItem& option, const QModelIndex& index) const {
  QSize size = QStyledItemDelegate::sizeHint(option, index);
  size.rwidth() += index.data(kToneRole).isValid() ? 44 : 20;
  if (index.data(kProgressRole).isValid()) size.setWidth(std::max(size.width(), 150));
  return size;
}

Banner::Banner(QWidget* parent) : QFrame(parent), label_(new QLabel(this)), close_(new QPushButton(this)) {
  label_->setWordWrap(true);
  label_->setTextInteractionFlags(Qt::TextSelectableByMouse | Qt::TextSelectableByKeyboard);
  close_->setText(QStringLiteral("✕"));
  close_->setFlat(true);
  close_->setAccessibleName(tr("Close the message"));
  auto* row = new QHBoxLayout(this);
  row->setContentsMargins(14, 8, 8, 8);
  row->addWidget(label_, 1);
  row->addWidget(close_);
  connect(close_, &QPushButton::clicked, this, &Banner::clear);
  hide();
}

void Banner::show_text(Kind kind, const QString& text) {
  setProperty("role", kind == Kind::kError ? "error" : "banner");
  style()->unpolish(this);
  style()->polish(this);
  label_->setText(text);
  label_->setAccessibleName(text);
  close_->setVisible(kind == Kind::kError);
  show();
}

void Banner::changeEvent(QEvent* event) {
  QFrame::changeEvent(event);
  if (event->type() == QEvent::LanguageChange) close_->setAccessibleName(tr("Close the message"));
}

void Banner::clear() {
  label_->clear();
  hide();
}

}  // namespace masbak::gui

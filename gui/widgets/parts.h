// Small parts that every page is made of.
#pragma once

#include <QFrame>
#include <QLabel>
#include <QPushButton>
#include <QStyledItemDelegate>
#include <QTableView>

class QBoxLayout;

namespace masbak::gui {

QLabel* make_label(const char* role, QWidget* parent = nullptr);  // roles of the style sheet: title, heading, muted …
QFrame* make_card(QWidget* parent = nullptr);

// A table with a status column drawn as a pill and a progress column drawn as a bar. Over an empty model it
// shows a sentence that says what would be here and how it gets here.
class ResourceTable : public QTableView {
 public:
  explicit ResourceTable(QWidget* parent = nullptr);
  void setModel(QAbstractItemModel* model) override;
  void set_empty_text(const QString& text);
  // The name of the selected resource; empty if none.
  QString selected() const;
  void select(const QString& name);
  void select_row(int row);

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  QString empty_text_;
};

// Draws kToneRole as a coloured pill and kProgressRole as a bar.
class ResourceDelegate : public QStyledItemDelegate {
 public:
  using QStyledItemDelegate::QStyledItemDelegate;
  void paint(QPainter* painter, const QStyleOptionViewItem& option, const QModelIndex& index) const override;
  QSize sizeHint(const QStyleOptionViewItem& option, const QModelIndex& index) const override;
};

// A strip with one sentence: a lost connection, or why something could not be done. Hidden while empty.
class Banner : public QFrame {
  Q_OBJECT

 public:
  enum class Kind { kNotice, kError };
  explicit Banner(QWidget* parent = nullptr);
  void show_text(Kind kind, const QString& text);
  void clear();

 protected:
  void changeEvent(QEvent* event) override;

 private:
  QLabel* label_;
  QPushButton* close_;
};

}  // namespace masbak::gui

// A table of resources of the control plane. Rows are known by name: an update moves, inserts, removes and
// changes single rows, so a selection and a scroll position survive it.
#pragma once

#include <QAbstractTableModel>
#include <QColor>
#include <QString>
#include <QVariant>
#include <algorithm>
#include <functional>
#include <string>
#include <vector>

namespace masbak::gui {

// What views and delegates may ask beyond Qt's own roles.
enum ResourceRole {
  kNameRole = Qt::UserRole + 1,  // the resource's name, "jobs/7"
  kToneRole,                     // int(Tone): the colour of a status
  kSortRole,                     // a value that sorts as a person expects
  kProgressRole,                 // 0 … 1, or invalid
};

enum class Tone { kNeutral, kRunning, kGood, kBad, kWarning };

template <typename Resource>
struct Column {
  std::function<QString()> title;  // a function: the language may change
  std::function<QString(const Resource&)> text;
  std::function<Tone(const Resource&)> tone;  // empty: an ordinary text
  std::function<QVariant(const Resource&)> progress;
  bool number = false;  // aligned to the end
};

template <typename Resource>
class ResourceModel : public QAbstractTableModel {
 public:
  explicit ResourceModel(std::vector<Column<Resource>> columns, QObject* parent = nullptr)
      : QAbstractTableModel(parent), columns_(std::move(columns)) {}

  int rowCount(const QModelIndex& parent = {}) const override {
    return parent.isValid() ? 0 : static_cast<int>(rows_.size());
  }
  int columnCount(const QModelIndex& parent = {}) const override {
    return parent.isValid() ? 0 : static_cast<int>(columns_.size());
  }
  QVariant data(const QModelIndex& index, int role) const override;
  QVariant headerData(int section, Qt::Orientation orientation, int role) const override;

  // The rows as the server has them now, in its order.
  void update(const std::vector<Resource>& rows);
  // The texts again, after the language changed.
  void retranslate();

  const Resource& at(int row) const { return rows_.at(static_cast<size_t>(row)); }
  int row_of(const std::string& name) const;

 private:
  void remove_missing(const std::vector<Resource>& rows);
  void place(int row, const Resource& resource);

  std::vector<Column<Resource>> columns_;
  std::vector<Resource> rows_;
};

template <typename Resource>
QVariant ResourceModel<Resource>::data(const QModelIndex& index, int role) const {
  if (!checkIndex(index, CheckIndexOption::IndexIsValid | CheckIndexOption::ParentIsInvalid)) return {};
  const Resource& row = at(index.row());
  const Column<Resource>& column = columns_[static_cast<size_t>(index.column())];
  switch (role) {
    case Qt::DisplayRole:
    case Qt::ToolTipRole:
    case Qt::AccessibleTextRole:
    case kSortRole: return column.text(row);
    case kNameRole: return QString::fromStdString(row.name());
    case kToneRole: return column.tone ? QVariant(static_cast<int>(column.tone(row))) : QVariant();
    case kProgressRole: return column.progress ? column.progress(row) : QVariant();
    case Qt::TextAlignmentRole: return QVariant(Qt::AlignVCenter | (column.number ? Qt::AlignRight : Qt::AlignLeft));
    default: return {};
  }
}

template <typename Resource>
QVariant ResourceModel<Resource>::headerData(int section, Qt::Orientation orientation, int role) const {
  if (orientation != Qt::Horizontal || section < 0 || section >= columnCount()) return {};
  const auto& column = columns_[static_cast<size_t>(section)];
  if (role == Qt::DisplayRole) return column.title();
  if (role == Qt::TextAlignmentRole) {
    return QVariant(Qt::AlignVCenter | (column.number ? Qt::AlignRight : Qt::AlignLeft));
  }
  return {};
}

template <typename Resource>
int ResourceModel<Resource>::row_of(const std::string& name) const {
  for (size_t row = 0; row < rows_.size(); ++row) {
    if (rows_[row].name() == name) return static_cast<int>(row);
  }
  return -1;
}

template <typename Resource>
void ResourceModel<Resource>::remove_missing(const std::vector<Resource>& rows) {
  for (int row = rowCount() - 1; row >= 0; --row) {
    const auto same = [&](const Resource& other) { return other.name() == at(row).name(); };
    if (std::any_of(rows.begin(), rows.end(), same)) continue;
    beginRemoveRows({}, row, row);
    rows_.erase(rows_.begin() + row);
    endRemoveRows();
  }
}

template <typename Resource>
void ResourceModel<Resource>::place(int row, const Resource& resource) {
  const int old = row_of(resource.name());
  if (old < 0) {
    beginInsertRows({}, row, row);
    rows_.insert(rows_.begin() + row, resource);
    endInsertRows();
    return;
  }
  if (old != row) {
    beginMoveRows({}, old, old, {}, old < row ? row + 1 : row);
    Resource moved = std::move(rows_[static_cast<size_t>(old)]);
    rows_.erase(rows_.begin() + old);
    rows_.insert(rows_.begin() + row, std::move(moved));
    endMoveRows();
  }
  if (rows_[static_cast<size_t>(row)].SerializeAsString() == resource.SerializeAsString()) return;
  rows_[static_cast<size_t>(row)] = resource;
  Q_EMIT dataChanged(index(row, 0), index(row, columnCount() - 1));
}

template <typename Resource>
void ResourceModel<Resource>::update(const std::vector<Resource>& rows) {
  remove_missing(rows);
  for (size_t row = 0; row < rows.size(); ++row) place(static_cast<int>(row), rows[row]);
}

template <typename Resource>
void ResourceModel<Resource>::retranslate() {
  Q_EMIT headerDataChanged(Qt::Horizontal, 0, columnCount() - 1);
  if (!rows_.empty()) Q_EMIT dataChanged(index(0, 0), index(rowCount() - 1, columnCount() - 1));
}

}  // namespace masbak::gui

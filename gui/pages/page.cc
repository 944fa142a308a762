#include "gui/pages/page.h"

#include <QLabel>
#include <QVBoxLayout>

#include "gui/models/format.h"
#include "gui/widgets/parts.h"

namespace masbak::gui {

Page::Page(Workspace& workspace, QWidget* parent)
    : QWidget(parent), workspace_(workspace), title_(make_label("title", this)), body_(new QVBoxLayout) {
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(28, 24, 28, 24);
  column->setSpacing(16);
  column->addWidget(title_);
  body_->setSpacing(16);
  column->addLayout(body_, 1);
}

void Page::retranslate() {
  title_->setText(title());
  setAccessibleName(title());
}

Failed Page::fail_with(const QString& doing) {
  return [this, doing](const Fault& fault) {
    Q_EMIT failed(tr("%1 did not work: %2").arg(doing, isolate(fault.message)));
  };
}

}  // namespace masbak::gui

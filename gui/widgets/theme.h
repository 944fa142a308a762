// The console's own look, light and dark, independent of the desktop's theme.
#pragma once

#include <QColor>
#include <QString>

#include "gui/models/resource_model.h"

class QApplication;

namespace masbak::gui {

struct Theme {
  bool dark = false;
  QColor window, surface, raised, line, text, muted, accent, accent_text;
  QColor good, bad, warning, running, neutral;

  QColor of(Tone tone) const;
};

// The theme in force. Changed by apply_theme only.
const Theme& theme();
void apply_theme(QApplication& application, bool dark);

}  // namespace masbak::gui

#include "gui/widgets/theme.h"

#include <QApplication>
#include <QFont>
#include <QPalette>
#include <QStyleFactory>

namespace masbak::gui {

namespace {

Theme light_theme() {
  Theme t;
  t.window = "#f4f5f7";
  t.surface = "#ffffff";
  t.raised = "#eceff3";
  t.line = "#d8dde5";
  t.text = "#1c2430";
  t.muted = "#5d6878";
  t.accent = "#b4501e";  // molten metal, kept for what a person can do
  t.accent_text = "#ffffff";
  t.good = "#1f7a4d";
  t.bad = "#b3261e";
  t.warning = "#8a5a00";
  t.running = "#1d5fa8";
  t.neutral = "#5d6878";
  return t;
}

Theme dark_theme() {
  Theme t;
  t.dark = true;
  t.window = "#14181f";
  t.surface = "#1c222b";
  t.raised = "#262e3a";
  t.line = "#343e4c";
  t.text = "#e8ecf2";
  t.muted = "#9aa6b6";
  t.accent = "#f08a4b";
  t.accent_text = "#14181f";
  t.good = "#5cc48f";
  t.bad = "#f2867e";
  t.warning = "#e0b050";
  t.running = "#7db4f0";
  t.neutral = "#9aa6b6";
  return t;
}

Theme& current() {
  static Theme value = light_theme();
  return value;
}

QPalette palette_of(const Theme& t) {
  QPalette palette;
  palette.setColor(QPalette::Window, t.window);
  palette.setColor(QPalette::Base, t.surface);
  palette.setColor(QPalette::AlternateBase, t.window);
  palette.setColor(QPalette::Button, t.surface);
  palette.setColor(QPalette::ToolTipBase, t.raised);
  for (auto role : {QPalette::WindowText, QPalette::Text, QPalette::ButtonText, QPalette::ToolTipText}) {
    palette.setColor(role, t.text);
    palette.setColor(QPalette::Disabled, role, t.muted);
  }
  palette.setColor(QPalette::PlaceholderText, t.muted);
  palette.setColor(QPalette::Highlight, t.accent);
  palette.setColor(QPalette::HighlightedText, t.accent_text);
  palette.setColor(QPalette::Link, t.accent);
  return palette;
}

// Written with direction-neutral properties only, so that it mirrors by itself.
QString style_sheet(const Theme& t) {
  QString sheet = R"(
    QWidget { font-family: "Noto Sans", "Noto Sans Arabic"; font-size: 14px; }
    QLabel[role="title"] { font-size: 24px; font-weight: 600; }
    QLabel[role="heading"] { font-size: 16px; font-weight: 600; }
    QLabel[role="muted"] { color: MUTED; }
    QLabel[role="figure"] { font-size: 28px; font-weight: 600; }
    QLabel[role="code"] { font-family: "Noto Sans Mono", "DejaVu Sans Mono", monospace; font-size: 13px; }
    QLabel[role="brand"] { font-size: 20px; font-weight: 700; color: ACCENT; }
    QFrame[role="card"] { background: SURFACE; border: 1px solid LINE; border-radius: 8px; }
    QFrame[role="sidebar"] { background: SURFACE; border: none; }
    QListWidget[role="navigation"] { background: SURFACE; border: none; outline: none; }
    QListWidget[role="navigation"]::item { padding: 10px 14px; border: 1px solid transparent; border-radius: 6px;
                                              margin: 1px 8px; min-height: 20px; max-height: 20px; color: TEXT; }
    QListWidget[role="navigation"]::item:focus { border-color: ACCENT; }
    QListWidget[role="navigation"]::item:hover { background: WINDOW; }
    QListWidget[role="navigation"]::item:selected { background: RAISED; color: ACCENT; font-weight: 600; }
    QTableView { background: SURFACE; border: 1px solid LINE; border-radius: 8px; gridline-color: LINE;
                 selection-background-color: RAISED; selection-color: TEXT; outline: none; }
    QTableView:focus { border-color: ACCENT; }
    QTableView::item { padding: 6px 10px; border-bottom: 1px solid LINE; }
    QHeaderView { background: transparent; border: none; }
    QHeaderView::section { background: transparent; color: MUTED; border: none; border-bottom: 1px solid LINE;
                           padding: 8px 13px; font-weight: 600; font-size: 13px; }
    QScrollBar:vertical { background: transparent; border: none; width: 10px; margin: 2px; }
    QScrollBar:horizontal { background: transparent; border: none; height: 10px; margin: 2px; }
    QScrollBar::handle { background: LINE; border-radius: 3px; min-height: 32px; min-width: 32px; }
    QScrollBar::handle:hover { background: MUTED; }
    QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
    QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }
    QPushButton { background: SURFACE; border: 1px solid LINE; border-radius: 6px; padding: 7px 16px; color: TEXT;
                  min-height: 20px; max-height: 20px; }  /* one height, though Arabic lines are taller */
    QPushButton:hover { border-color: ACCENT; }
    QPushButton:focus { border: 2px solid ACCENT; padding: 6px 15px; }
    QPushButton:disabled { color: MUTED; background: WINDOW; }
    QPushButton[role="quiet"] { padding: 5px 10px; color: MUTED; }
    QPushButton[role="primary"] { background: ACCENT; color: ONACCENT; border-color: ACCENT; font-weight: 600; }
    QPushButton[role="primary"]:disabled { background: RAISED; color: MUTED; border-color: LINE; }
    QLineEdit, QPlainTextEdit, QTextEdit, QComboBox, QSpinBox, QDoubleSpinBox {
      background: SURFACE; border: 1px solid LINE; border-radius: 6px; padding: 7px 10px; color: TEXT; }
    QLineEdit:focus, QPlainTextEdit:focus, QTextEdit:focus, QComboBox:focus, QSpinBox:focus, QDoubleSpinBox:focus {
      border: 2px solid ACCENT; padding: 6px 9px; }
    QComboBox::drop-down { border: none; width: 30px; }
    QSpinBox::up-button, QDoubleSpinBox::up-button { border: none; width: 28px; subcontrol-position: top right; }
    QSpinBox::down-button, QDoubleSpinBox::down-button { border: none; width: 28px;
                                                         subcontrol-position: bottom right; }
    QComboBox::down-arrow, QSpinBox::down-arrow, QDoubleSpinBox::down-arrow {
      image: url(:/images/chevron-down.png); width: 12px; height: 12px; }
    QSpinBox::up-arrow, QDoubleSpinBox::up-arrow { image: url(:/images/chevron-up.png); width: 12px; height: 12px; }
    QComboBox QAbstractItemView { background: SURFACE; color: TEXT; border: 1px solid LINE; }
    QScrollArea { border: none; background: transparent; }
    QToolTip { background: RAISED; color: TEXT; border: 1px solid LINE; padding: 4px; }
    QFrame[role="banner"] { border-radius: 6px; background: RAISED; border: 1px solid WARNING; }
    QFrame[role="error"] { border-radius: 6px; background: RAISED; border: 1px solid BAD; }
  )";
  const std::pair<const char*, QColor> colours[] = {
      {"ONACCENT", t.accent_text}, {"ACCENT", t.accent}, {"SURFACE", t.surface}, {"WINDOW", t.window},
      {"RAISED", t.raised},        {"LINE", t.line},     {"MUTED", t.muted},     {"TEXT", t.text},
      {"WARNING", t.warning},      {"BAD", t.bad}};
  for (const auto& [word, colour] : colours) sheet.replace(word, colour.name());
  return sheet;
}

}  // namespace

QColor Theme::of(Tone tone) const {
  switch (tone) {
    case Tone::kRunning: return running;
    case Tone::kGood: return good;
    case Tone::kBad: return bad;
    case Tone::kWarning: return warning;
    default: return neutral;
  }
}

const Theme& theme() { return current(); }

void apply_theme(QApplication& application, bool dark) {
  current() = dark ? dark_theme() : light_theme();
  QApplication::setStyle(QStyleFactory::create("Fusion"));
  // Arabic letters come from the Arabic cut of the same family, so that both scripts sit together well. The style
  // sheet names the families too: widgets hear of a new font later than of a new style sheet, which would keep the
  // old one.
  QFont font("Noto Sans");
  font.setFamilies({"Noto Sans", "Noto Sans Arabic"});
  QApplication::setFont(font);
  QApplication::setPalette(palette_of(current()));
  application.setStyleSheet(style_sheet(current()));
}

}  // namespace masbak::gui

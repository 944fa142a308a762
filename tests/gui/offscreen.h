// What every test of the console begins with.
#pragma once

#include <QApplication>
#include <QElapsedTimer>
#include <QSettings>
#include <QTemporaryDir>
#include <QThread>
#include <functional>
#include <memory>

namespace masbak::gui {

// A Qt application without a display (MASBAK_TEST_PLATFORM=xcb: with one), and settings that are not the user's.
class Offscreen {
 public:
  Offscreen() {
    qputenv("QT_QPA_PLATFORM", qEnvironmentVariable("MASBAK_TEST_PLATFORM", "offscreen").toUtf8());
    QCoreApplication::setOrganizationName("masbak");
    QCoreApplication::setApplicationName("masbak-console-test");
    QSettings::setDefaultFormat(QSettings::IniFormat);
    QSettings::setPath(QSettings::IniFormat, QSettings::UserScope, folder_.path());
    application_ = std::make_unique<QApplication>(count_, arguments_);
  }

 private:
  QTemporaryDir folder_;
  char name_[5] = "test";
  char* arguments_[2] = {name_, nullptr};
  int count_ = 1;
  std::unique_ptr<QApplication> application_;
};

// Runs the event loop until `condition` holds. False after a generous limit: two busy cores are slow.
inline bool wait_for(const std::function<bool()>& condition, int limit_ms = 60000) {
  QElapsedTimer timer;
  timer.start();
  while (!condition()) {
    if (timer.elapsed() > limit_ms) return false;
    QCoreApplication::processEvents(QEventLoop::AllEvents, 20);
    QThread::msleep(2);  // the server's threads need the core too
  }
  return true;
}

}  // namespace masbak::gui

// masbak-console: the desktop console.
#include <QApplication>
#include <QCommandLineParser>
#include <QElapsedTimer>
#include <QSettings>
#include <QTimer>

#include "base/error.h"
#include "base/log.h"
#include "base/program.h"
#include "gui/client/client.h"
#include "gui/main_window.h"

namespace {

using namespace masbak;

constexpr int kScreenshotLimitMs = 120000;
constexpr int kSettleMs = 1200;  // charts and layouts come to rest

struct Options {
  QString endpoint, token_file, data, language, page, question, screenshot, size;
  bool dark = false;
};

Options parse_options(const QApplication& application) {
  QCommandLineParser parser;
  parser.setApplicationDescription("The desktop console of Masbak");
  parser.addHelpOption();
  parser.addOptions({
      {"endpoint", "Address of the control plane (MASBAK_ENDPOINT, or the data folder's).", "HOST:PORT"},
      {"token-file", "File with the token (MASBAK_TOKEN, or the data folder's).", "FILE"},
      {"data", "Data folder of a local installation.", "DIR"},
      {"language", "en or ar; remembered otherwise.", "LANGUAGE"},
      {"dark", "Dark colours."},
      {"page", "Page to open: overview, start, jobs, versions, deployments, ask.", "PAGE"},
      {"question", "Asks this on the page ask.", "TEXT"},
      {"screenshot", "Saves a picture of the window once its data has arrived, and ends.", "FILE"},
      {"size", "Size of the window.", "WxH", "1280x800"},
  });
  parser.process(application);
  Options options{parser.value("endpoint"),   parser.value("token-file"), parser.value("data"),
                  parser.value("language"),   parser.value("page"),       parser.value("question"),
                  parser.value("screenshot"), parser.value("size"),       parser.isSet("dark")};
  const QSettings settings;
  if (options.language.isEmpty()) options.language = settings.value("language", "en").toString();
  if (!parser.isSet("dark") && options.screenshot.isEmpty()) options.dark = settings.value("dark", false).toBool();
  if (options.language != "en" && options.language != "ar") {
    base::fail_input("expected en or ar, found '" + options.language.toStdString() + "'", {.field = "--language"});
  }
  return options;
}

void set_size(gui::MainWindow& window, const QString& size) {
  const QStringList parts = size.split('x');
  bool width_read = false, height_read = false;
  const int width = parts.value(0).toInt(&width_read), height = parts.value(1).toInt(&height_read);
  if (parts.size() != 2 || !width_read || !height_read) {
    base::fail_input("expected WIDTHxHEIGHT such as 1280x800, found '" + size.toStdString() + "'", {.field = "--size"});
  }
  window.resize(width, height);
}

// Ends the program with status 0 once the picture is saved, 1 if the data did not come in time.
void take_screenshot(gui::MainWindow& window, const QString& file) {
  auto* timer = new QTimer(&window);
  auto* elapsed = new QElapsedTimer;
  auto* ready_since = new QElapsedTimer;
  elapsed->start();
  QObject::connect(timer, &QTimer::timeout, [=, &window] {
    if (!window.page_ready()) {
      ready_since->invalidate();
      if (elapsed->elapsed() > kScreenshotLimitMs) QCoreApplication::exit(1);
      return;
    }
    if (!ready_since->isValid()) ready_since->start();
    if (ready_since->elapsed() < kSettleMs) return;
    QCoreApplication::exit(window.grab().save(file) ? 0 : 1);
  });
  timer->start(100);
}

int run(int argc, char** argv) {
  base::start_logging("masbak-console");
  QApplication application(argc, argv);
  QCoreApplication::setOrganizationName("masbak");
  QCoreApplication::setApplicationName("masbak-console");
  const Options options = parse_options(application);
  gui::Client client(
      [options] { return gui::ConnectionSettings::resolve(options.endpoint, options.token_file, options.data); });
  gui::MainWindow window(client, options.language, options.dark);
  set_size(window, options.size);
  if (!options.page.isEmpty() && !window.open_page(options.page)) {
    base::fail_input("expected one of " + window.page_ids().join(", ").toStdString() + ", found '" +
                         options.page.toStdString() + "'",
                     {.field = "--page"});
  }
  if (!options.question.isEmpty()) window.ask(options.question);
  window.show();
  if (!options.screenshot.isEmpty()) take_screenshot(window, options.screenshot);
  return QApplication::exec();
}

}  // namespace

int main(int argc, char** argv) {
  return masbak::base::run_program("masbak-console", [&] { return run(argc, argv); });
}

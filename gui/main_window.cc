#include "gui/main_window.h"

#include <QApplication>
#include <QHBoxLayout>
#include <QLabel>
#include <QLibraryInfo>
#include <QListWidget>
#include <QPushButton>
#include <QSettings>
#include <QShortcut>
#include <QStackedWidget>
#include <QVBoxLayout>

#include "gui/models/format.h"
#include "gui/pages/ask_page.h"
#include "gui/pages/deployments_page.h"
#include "gui/pages/jobs_page.h"
#include "gui/pages/overview_page.h"
#include "gui/pages/start_page.h"
#include "gui/pages/versions_page.h"
#include "gui/widgets/parts.h"
#include "gui/widgets/theme.h"

namespace masbak::gui {

MainWindow::MainWindow(Client& client, const QString& language, bool dark)
    : client_(client), workspace_(client), language_(language), dark_(dark), ask_(new AskPage(workspace_)) {
  resize(1280, 800);
  setMinimumSize(1100, 700);
  auto* centre = new QWidget(this);
  auto* row = new QHBoxLayout(centre);
  row->setContentsMargins(0, 0, 0, 0);
  row->setSpacing(0);
  auto* sidebar = new QFrame(centre);
  sidebar->setProperty("role", "sidebar");
  build_sidebar(sidebar);
  row->addWidget(sidebar);

  auto* column = new QVBoxLayout;
  auto* banners = new QVBoxLayout;
  banners->setContentsMargins(28, 0, 28, 0);
  column->setSpacing(0);
  banners->addWidget(connection_ = new Banner(centre));
  banners->addWidget(fault_ = new Banner(centre));
  column->addLayout(banners);
  column->addWidget(stack_ = new QStackedWidget(centre), 1);
  row->addLayout(column, 1);
  setCentralWidget(centre);

  add_page(new OverviewPage(workspace_));
  add_page(new StartPage(workspace_));
  add_page(new JobsPage(workspace_));
  add_page(new VersionsPage(workspace_));
  add_page(new DeploymentsPage(workspace_));
  add_page(ask_);
  connect(navigation_, &QListWidget::currentRowChanged, this, [this](int index) {
    stack_->setCurrentIndex(index);
    fault_->clear();
  });
  connect(&client_, &Client::connection_changed, this, &MainWindow::show_connection);
  connect(&workspace_, &Workspace::refused, this, &MainWindow::show_refusal);
  connect(&workspace_, &Workspace::changed, connection_, &Banner::clear);
  set_dark(dark_);
  set_language(language_);
  open_page("overview");
}

void MainWindow::build_sidebar(QWidget* sidebar) {
  auto* column = new QVBoxLayout(sidebar);
  column->setContentsMargins(0, 20, 0, 16);
  sidebar->setFixedWidth(236);
  brand_ = make_label("brand", sidebar);
  brand_->setContentsMargins(22, 0, 22, 12);
  column->addWidget(brand_);
  navigation_ = new QListWidget(sidebar);
  navigation_->setProperty("role", "navigation");
  navigation_->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  column->addWidget(navigation_, 1);
  auto* foot = new QVBoxLayout;
  foot->setContentsMargins(16, 0, 16, 0);
  endpoint_ = make_label("muted", sidebar);
  foot->addWidget(endpoint_);
  auto* buttons = new QHBoxLayout;
  buttons->addWidget(language_button_ = new QPushButton(sidebar));
  buttons->addWidget(theme_button_ = new QPushButton(sidebar));
  foot->addLayout(buttons);
  column->addLayout(foot);
  for (auto* button : {language_button_, theme_button_}) button->setProperty("role", "quiet");
  connect(language_button_, &QPushButton::clicked, this, [this] { set_language(language_ == "ar" ? "en" : "ar"); });
  connect(theme_button_, &QPushButton::clicked, this, [this] { set_dark(!dark_); });
}

void MainWindow::add_page(Page* page) {
  const auto number = static_cast<int>(pages_.size()) + 1;
  pages_.push_back(page);
  stack_->addWidget(page);
  navigation_->addItem(page->id());
  auto* shortcut = new QShortcut(QKeySequence(QStringLiteral("Ctrl+%1").arg(number)), this);
  connect(shortcut, &QShortcut::activated, this, [this, page] { open_page(page->id()); });
  connect(page, &Page::failed, this, [this](const QString& text) { fault_->show_text(Banner::Kind::kError, text); });
  connect(page, &Page::go_to, this, &MainWindow::open_page);
}

QStringList MainWindow::page_ids() const {
  QStringList ids;
  for (const Page* page : pages_) ids << page->id();
  return ids;
}

bool MainWindow::open_page(const QString& id) {
  const auto at = static_cast<int>(page_ids().indexOf(id));
  if (at >= 0) navigation_->setCurrentRow(at);
  return at >= 0;
}

void MainWindow::ask(const QString& question) { ask_->ask_when_ready(question); }

bool MainWindow::page_ready() const {
  return client_.connected() && pages_[static_cast<size_t>(stack_->currentIndex())]->ready();
}

void MainWindow::set_language(const QString& language) {
  language_ = language;
  QCoreApplication::removeTranslator(&translator_);
  if (language_ == "ar" && translator_.load(":/i18n/masbak_ar.qm")) QCoreApplication::installTranslator(&translator_);
  QGuiApplication::setLayoutDirection(language_ == "ar" ? Qt::RightToLeft : Qt::LeftToRight);
  QSettings().setValue("language", language_);
  retranslate();
}

void MainWindow::set_dark(bool dark) {
  dark_ = dark;
  apply_theme(*qApp, dark_);
  for (Page* page : pages_) page->retheme();
  QSettings().setValue("dark", dark_);
  retranslate();
}

void MainWindow::retranslate() {
  setWindowTitle(tr("Masbak console"));
  brand_->setText(tr("Masbak"));
  navigation_->setAccessibleName(tr("Pages"));
  // Each language names the other one in its own words.
  language_button_->setText(language_ == "ar" ? QStringLiteral("English") : QStringLiteral("العربية"));
  language_button_->setAccessibleName(tr("Change the language"));
  theme_button_->setText(dark_ ? tr("Light") : tr("Dark"));
  theme_button_->setAccessibleName(tr("Change between light and dark"));
  endpoint_->setText(isolate(client_.endpoint()));
  workspace_.retranslate();
  for (size_t i = 0; i < pages_.size(); ++i) {
    pages_[i]->retranslate();
    navigation_->item(static_cast<int>(i))->setText(pages_[i]->title());
  }
}

void MainWindow::show_connection(bool connected, const QString& detail) {
  endpoint_->setText(isolate(client_.endpoint()));
  if (connected) {
    connection_->clear();
    workspace_.refresh();
    return;
  }
  const QString where = client_.endpoint().isEmpty() ? tr("the installation") : isolate(client_.endpoint());
  connection_->show_text(Banner::Kind::kNotice,
                         tr("%1 does not answer; trying again. Jobs go on without the console. If nothing runs, start "
                            "it with: masbak up")
                             .arg(where));
  connection_->setToolTip(detail);
}

void MainWindow::show_refusal(const QString& message) {
  connection_->show_text(
      Banner::Kind::kNotice,
      tr("%1 answers, but not to this console: %2").arg(isolate(client_.endpoint()), isolate(message)));
}

}  // namespace masbak::gui

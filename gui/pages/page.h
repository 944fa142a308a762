// What every screen of the console is.
#pragma once

#include <QString>
#include <QWidget>

#include "gui/client/client.h"
#include "gui/models/workspace.h"

class QLabel;
class QVBoxLayout;

namespace masbak::gui {

class Page : public QWidget {
  Q_OBJECT

 public:
  explicit Page(Workspace& workspace, QWidget* parent = nullptr);
  virtual QString title() const = 0;  // also the page's entry in the navigation
  virtual QString id() const = 0;     // "jobs": for --page
  virtual void retranslate();         // every text again, in the language in force
  virtual void retheme() {}
  virtual bool ready() const { return workspace_.loaded(); }  // all that it shows has arrived

 Q_SIGNALS:
  void failed(const QString& sentence);  // the banner shows it
  void go_to(const QString& page_id);

 protected:
  // The page's column: the title stands, `body` follows.
  QVBoxLayout* body() { return body_; }
  Failed fail_with(const QString& doing);

  Workspace& workspace_;

 private:
  QLabel* title_;
  QVBoxLayout* body_;
};

}  // namespace masbak::gui

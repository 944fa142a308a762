// The Arabic words: there is one for every text, and the program carries them.
#include <gtest/gtest.h>

#include <QDirIterator>
#include <QFile>
#include <QRegularExpression>
#include <QTranslator>
#include <QXmlStreamReader>
#include <set>

#include "gui/models/format.h"
#include "tests/gui/offscreen.h"

namespace masbak::gui {
namespace {

struct Message {
  QString source, translation, type;
};

QString source_folder() { return qEnvironmentVariable("MASBAK_SOURCE") + "/gui"; }

std::vector<Message> messages() {
  QFile file(source_folder() + "/i18n/masbak_ar.ts");
  EXPECT_TRUE(file.open(QIODevice::ReadOnly)) << "MASBAK_SOURCE must name the folder of the sources";
  std::vector<Message> all;
  QXmlStreamReader xml(&file);
  while (!xml.atEnd()) {
    if (xml.readNext() != QXmlStreamReader::StartElement) continue;
    if (xml.name() == u"message") all.emplace_back();
    if (xml.name() == u"source") all.back().source = xml.readElementText();
    if (xml.name() == u"translation") {
      all.back().type = xml.attributes().value("type").toString();
      all.back().translation = xml.readElementText();
    }
  }
  EXPECT_FALSE(xml.hasError()) << xml.errorString().toStdString();
  return all;
}

std::set<QString> placeholders(const QString& text) {
  static const QRegularExpression pattern("%[0-9]");
  std::set<QString> found;
  for (auto match = pattern.globalMatch(text); match.hasNext();) found.insert(match.next().captured());
  return found;
}

TEST(Language, EveryTextHasItsArabicWords) {
  const auto all = messages();
  ASSERT_GT(all.size(), 100U);
  static const QRegularExpression arabic("[\\x{0600}-\\x{06FF}]");
  for (const Message& message : all) {
    EXPECT_TRUE(message.type.isEmpty()) << message.type.toStdString() << ": " << message.source.toStdString();
    EXPECT_TRUE(message.translation.contains(arabic)) << message.source.toStdString();
    EXPECT_EQ(placeholders(message.translation), placeholders(message.source)) << message.source.toStdString();
  }
}

// Without lupdate: each literal in tr("…") of the sources is in the file of translations.
TEST(Language, NoTextOfTheSourcesIsMissing) {
  std::set<QString> known;
  for (const Message& message : messages()) known.insert(message.source);
  static const QRegularExpression call(R"re(\btr\(\s*((?:"(?:[^"\\]|\\.)*"\s*)+)\))re");
  static const QRegularExpression literal(R"re("((?:[^"\\]|\\.)*)")re");
  int found = 0;
  QDirIterator files(source_folder(), {"*.cc", "*.h"}, QDir::Files, QDirIterator::Subdirectories);
  while (files.hasNext()) {
    QFile file(files.next());
    ASSERT_TRUE(file.open(QIODevice::ReadOnly));
    const QString text = QString::fromUtf8(file.readAll());
    for (auto match = call.globalMatch(text); match.hasNext();) {
      const QString literals = match.next().captured(1);
      QString source;
      for (auto part = literal.globalMatch(literals); part.hasNext();) source += part.next().captured(1);
      ++found;
      EXPECT_TRUE(known.contains(source)) << source.toStdString() << " in " << file.fileName().toStdString();
    }
  }
  EXPECT_GT(found, 100);
}

TEST(Language, TheProgramCarriesIt) {
  Offscreen offscreen;
  QTranslator translator;
  ASSERT_TRUE(translator.load(":/i18n/masbak_ar.qm"));
  QCoreApplication::installTranslator(&translator);
  EXPECT_EQ(state_text(v1::JOB_STATE_RUNNING), QStringLiteral("قيد التنفيذ"));
  QCoreApplication::removeTranslator(&translator);
  EXPECT_EQ(state_text(v1::JOB_STATE_RUNNING), "Running");
}

}  // namespace
}  // namespace masbak::gui

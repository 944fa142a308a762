#include "gui/client/connection.h"

#include <QDir>
#include <QFile>
#include <QProcessEnvironment>

namespace masbak::gui {

namespace {

// The trimmed content of a small file; empty if it cannot be read (the installation is not up yet).
QString file_text(const QString& path) {
  QFile file(path);
  if (!file.open(QIODevice::ReadOnly)) return {};
  return QString::fromUtf8(file.read(4096)).trimmed();
}

}  // namespace

ConnectionSettings ConnectionSettings::resolve(const QString& endpoint, const QString& token_file,
                                               const QString& data_folder) {
  const auto environment = QProcessEnvironment::systemEnvironment();
  ConnectionSettings settings;
  settings.data_folder = data_folder;
  if (settings.data_folder.isEmpty()) settings.data_folder = environment.value("MASBAK_DATA");
  if (settings.data_folder.isEmpty()) settings.data_folder = QDir::homePath() + "/.local/share/masbak";
  settings.endpoint = endpoint;
  if (settings.endpoint.isEmpty()) settings.endpoint = environment.value("MASBAK_ENDPOINT");
  if (settings.endpoint.isEmpty()) settings.endpoint = file_text(settings.data_folder + "/endpoint");
  if (!token_file.isEmpty()) settings.token = file_text(token_file);
  if (settings.token.isEmpty()) settings.token = environment.value("MASBAK_TOKEN");
  if (settings.token.isEmpty()) settings.token = file_text(settings.data_folder + "/token");
  return settings;
}

}  // namespace masbak::gui

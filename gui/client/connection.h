// Where the control plane is and how to be let in.
#pragma once

#include <QString>

namespace masbak::gui {

// From the command line, MASBAK_ENDPOINT and MASBAK_TOKEN, or the files `endpoint` and `token` of the data
// folder (MASBAK_DATA, else ~/.local/share/masbak), in this order.
struct ConnectionSettings {
  QString endpoint;  // "127.0.0.1:7443"
  QString token;
  QString data_folder;

  // Reads the files again: `masbak up` may have written them since.
  static ConnectionSettings resolve(const QString& endpoint, const QString& token_file, const QString& data_folder);
};

}  // namespace masbak::gui

// The data folder of a control plane: who owns it, its address and its administrator's token.
#pragma once

#include <filesystem>
#include <string>

#include "registry/store/store.h"

namespace masbak::services {

// Held while the control plane lives: two of them in one folder would fight over its database.
class FolderLock {
 public:
  // ALREADY_EXISTS if another process holds it.
  explicit FolderLock(const std::filesystem::path& file);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int fd_;
};

struct HostPort {
  std::string host;
  int port;
};
// "127.0.0.1:7443". INVALID_ARGUMENT otherwise.
HostPort parse_listen(const std::string& listen);

// ALREADY_EXISTS if somebody listens there; INVALID_ARGUMENT if this machine has no such address.
void require_free_port(const HostPort& address);

// The token in `file` (mode 0600), made if there is none; the store knows it as users/admin.
void ensure_admin_token(const std::filesystem::path& file, registry::Store& store);

}  // namespace masbak::services

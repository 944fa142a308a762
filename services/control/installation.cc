#include "services/control/installation.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "base/digest.h"
#include "base/durable_file.h"
#include "base/error.h"

namespace masbak::services {
namespace {

constexpr size_t kTokenLength = 64;

std::string random_token() {
  unsigned char bytes[kTokenLength / 2];
  if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes)) base::fail_errno("drawing a token", "getrandom");
  std::string token;
  for (unsigned char byte : bytes) {
    token += "0123456789abcdef"[byte >> 4];
    token += "0123456789abcdef"[byte & 15];
  }
  return token;
}

// Created with its mode, not changed to it: the token is at no time readable for others.
void write_secret(const std::filesystem::path& file, const std::string& text) {
  auto temporary = file;
  temporary += ".new";
  std::filesystem::remove(temporary);
  int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) base::fail_errno("writing the token", temporary);
  bool written = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(fd) == 0;
  close(fd);
  if (!written) base::fail_errno("writing the token", temporary);
  std::filesystem::rename(temporary, file);
  base::fsync_path(file.parent_path());
}

}  // namespace

FolderLock::FolderLock(const std::filesystem::path& file)
    : fd_(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
  if (fd_ < 0) base::fail_errno("opening a lock", file);
  if (flock(fd_, LOCK_EX | LOCK_NB) == 0) return;
  close(fd_);
  throw base::Error(base::Code::kAlreadyExists,
                    "another control plane works in this data folder: stop it, or name another with --data",
                    {file.parent_path().string()});
}

FolderLock::~FolderLock() { close(fd_); }

HostPort parse_listen(const std::string& listen) {
  HostPort address{"", 0};
  size_t colon = listen.rfind(':');
  if (colon != std::string::npos && colon > 0) {
    address.host = listen.substr(0, colon);
    const char* end = listen.data() + listen.size();
    auto [rest, fault] = std::from_chars(listen.data() + colon + 1, end, address.port);
    if (fault == std::errc() && rest == end && address.port >= 0 && address.port <= 65535) return address;
  }
  base::fail_input("expected an address and a port such as 127.0.0.1:7443, found \"" + listen + "\"",
                   {.field = "--listen"});
}

void require_free_port(const HostPort& address) {
  if (address.port == 0) return;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  std::string port = std::to_string(address.port);
  if (int fault = getaddrinfo(address.host.c_str(), port.c_str(), &hints, &found); fault != 0) {
    base::fail_input("cannot listen on " + address.host + ": " + gai_strerror(fault), {.field = "--listen"});
  }
  int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int on = 1;  // as gRPC does: a port whose connections have just closed is free
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  int fault = bind(fd, found->ai_addr, found->ai_addrlen) == 0 ? 0 : errno;
  close(fd);
  freeaddrinfo(found);
  if (fault == 0) return;
  std::string where = address.host + ":" + port;
  if (fault == EADDRINUSE) {
    throw base::Error(base::Code::kAlreadyExists, "port in use: another program listens on " + where +
                                                      "; stop it, or choose another with --listen");
  }
  errno = fault;
  base::fail_errno("listening", where);
}

void ensure_admin_token(const std::filesystem::path& file, registry::Store& store) {
  std::string token = std::filesystem::exists(file) ? base::read_file(file) : "";
  token = token.substr(0, token.find('\n'));
  if (token.size() != kTokenLength) {
    token = random_token();
    write_secret(file, token + "\n");
  }
  std::string digest = base::digest_bytes(token);
  bool known =
      store.read([&](const registry::Reader& reader) { return reader.find_user_of_token(digest).has_value(); });
  if (known) return;
  store.write(registry::Actor{"system"}, [&](registry::Writer& writer) {
    writer.put_user("users/admin", "admin");
    registry::Token row;
    row.digest = digest;
    row.user = "users/admin";
    row.label = "made with the installation";
    writer.create_token(row);
  });
}

}  // namespace masbak::services

#include "base/digest.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "base/error.h"

namespace masbak::base {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "sha256:";
constexpr size_t kHexDigits = 64;

using FolderId = std::pair<dev_t, ino_t>;

// Gathers the visible regular files below `folder`, by relative path in byte order. `above` holds the
// folders on the way down, so that a symbolic link to one of them is an error, not an endless walk.
void gather_files(const fs::path& folder, const std::string& prefix, std::set<FolderId>& above,
                  std::map<std::string, fs::path>& files) {
  struct stat status {};
  if (::stat(folder.c_str(), &status) != 0) fail_errno("reading the folder", folder.string());
  const FolderId id{status.st_dev, status.st_ino};
  if (!above.insert(id).second) {
    fail_input("a symbolic link leads back to a folder above it; remove the link", {.file = folder.string()});
  }
  std::error_code fault;
  fs::directory_iterator entries(folder, fault);
  if (fault) {
    errno = fault.value();
    fail_errno("reading the folder", folder.string());
  }
  for (const auto& entry : entries) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with('.')) continue;
    if (name.find_first_of("\n\\\r") != std::string::npos) {
      fail_input("file names with a line break or a backslash cannot be digested; rename the file",
                 {.file = entry.path().string()});
    }
    if (::stat(entry.path().c_str(), &status) != 0) fail_errno("reading the file", entry.path().string());
    if (S_ISDIR(status.st_mode)) {
      gather_files(entry.path(), prefix + name + "/", above, files);
    } else if (S_ISREG(status.st_mode)) {
      files.emplace(prefix + name, entry.path());
    }
  }
  above.erase(id);
}

}  // namespace

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  if (state_->context == nullptr || EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) != 1) {
    throw Error(Code::kInternal, "OpenSSL offers no SHA-256; check the installed libcrypto");
  }
}

Sha256::~Sha256() = default;

void Sha256::update(std::string_view bytes) {
  if (!state_) throw Error(Code::kInternal, "Sha256::update called after finish");
  if (EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) != 1) {
    throw Error(Code::kInternal, "OpenSSL failed while computing a SHA-256 digest");
  }
}

std::string Sha256::finish() {
  if (!state_) throw Error(Code::kInternal, "Sha256::finish called twice");
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (EVP_DigestFinal_ex(state_->context, digest, &size) != 1 || size * 2 != kHexDigits) {
    throw Error(Code::kInternal, "OpenSSL failed while finishing a SHA-256 digest");
  }
  state_.reset();
  std::string text(kPrefix);
  text.reserve(kPrefix.size() + kHexDigits);
  for (unsigned int i = 0; i < size; ++i) {
    text += "0123456789abcdef"[digest[i] >> 4];
    text += "0123456789abcdef"[digest[i] & 15];
  }
  return text;
}

std::string digest_bytes(std::string_view bytes) {
  Sha256 sha;
  sha.update(bytes);
  return sha.finish();
}

std::string digest_file(const fs::path& file) {
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail_errno("opening the file", file.string());
  ::posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
  Sha256 sha;
  std::vector<char> piece(size_t{1} << 20);
  for (;;) {
    const ssize_t got = ::read(fd, piece.data(), piece.size());
    if (got > 0) {
      sha.update({piece.data(), static_cast<size_t>(got)});
    } else if (got == 0) {
      break;
    } else if (errno != EINTR) {
      const int fault = errno;
      ::close(fd);
      errno = fault;
      fail_errno("reading the file", file.string());
    }
  }
  ::close(fd);
  return sha.finish();
}

std::string digest_folder(const fs::path& folder) {
  std::set<FolderId> above;
  std::map<std::string, fs::path> files;
  gather_files(folder, "", above, files);
  Sha256 sha;
  for (const auto& [relative, path] : files) {
    sha.update(digest_file(path).substr(kPrefix.size()) + "  " + relative + "\n");
  }
  return sha.finish();
}

bool is_digest(std::string_view text) {
  if (!text.starts_with(kPrefix) || text.size() != kPrefix.size() + kHexDigits) return false;
  return text.find_first_not_of("0123456789abcdef", kPrefix.size()) == std::string_view::npos;
}

}  // namespace masbak::base

#include "registry/artifacts/artifact_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <utility>

#include "base/digest.h"
#include "base/durable_file.h"
#include "base/error.h"
#include "registry/artifacts/tar.h"

namespace masbak::registry {
namespace {

namespace fs = std::filesystem;
using base::Code;
using base::Error;

constexpr std::string_view kPrefix = "sha256:";
constexpr size_t kPiece = 1 << 20;

// Reads a file in pieces; what the system says comes out as an Error.
void read_pieces(const fs::path& file, size_t piece_bytes, const std::function<void(std::string_view)>& sink) {
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) base::fail_errno("opening the file", file.string());
  const std::unique_ptr<const int, void (*)(const int*)> closer(&fd, [](const int* open) { ::close(*open); });
  std::string buffer(piece_bytes, '\0');
  for (;;) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) base::fail_errno("reading the file", file.string());
    if (got == 0) return;
    sink(std::string_view(buffer).substr(0, static_cast<size_t>(got)));
  }
}

// Left by a crash. Younger ones may be another program's upload that is under way.
void clear_old_temporaries(const fs::path& folder) {
  const auto limit = fs::file_time_type::clock::now() - std::chrono::hours(1);
  for (const auto& entry : fs::directory_iterator(folder)) {
    std::error_code ignored;
    if (entry.last_write_time(ignored) < limit && !ignored) fs::remove(entry.path(), ignored);
  }
}

}  // namespace

struct ArtifactStore::Upload::State {
  State(fs::path store, fs::path temporary) : store(std::move(store)), temporary(std::move(temporary)) {}
  ~State() {
    if (fd >= 0) ::close(fd);
    if (!temporary.empty()) ::unlink(temporary.c_str());
  }

  fs::path store, temporary;  // temporary is empty once it was renamed
  int fd = -1;
  base::Sha256 hash;
  int64_t size_bytes = 0;
};

ArtifactStore::ArtifactStore(const fs::path& folder) : folder_(folder) {
  try {
    fs::create_directories(folder_ / "sha256");
    fs::create_directories(folder_ / "incoming");
  } catch (const fs::filesystem_error& fault) {
    throw Error(Code::kPermissionDenied, std::string("the folder of artifacts cannot be made: ") + fault.what(),
                {.file = folder_.string()});
  }
  clear_old_temporaries(folder_ / "incoming");
}

ArtifactStore::Upload::Upload(std::unique_ptr<State> state) : state_(std::move(state)) {}
ArtifactStore::Upload::Upload(Upload&&) noexcept = default;
ArtifactStore::Upload::~Upload() = default;

ArtifactStore::Upload ArtifactStore::upload() {
  static std::atomic<uint64_t> counter{0};
  const std::string name = std::to_string(::getpid()) + "-" + std::to_string(counter.fetch_add(1)) + "-" +
                           std::to_string(std::chrono::steady_clock::now().time_since_epoch().count());
  auto state = std::make_unique<Upload::State>(folder_, folder_ / "incoming" / name);
  state->fd = ::open(state->temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (state->fd < 0) {
    const fs::path wanted = std::exchange(state->temporary, {});
    base::fail_errno("creating the file", wanted.string());
  }
  return Upload(std::move(state));
}

void ArtifactStore::Upload::write(std::string_view bytes) {
  state_->hash.update(bytes);
  state_->size_bytes += static_cast<int64_t>(bytes.size());
  while (!bytes.empty()) {
    const ssize_t written = ::write(state_->fd, bytes.data(), bytes.size());
    if (written >= 0) {
      bytes.remove_prefix(static_cast<size_t>(written));
    } else if (errno != EINTR) {
      base::fail_errno("writing the artifact", state_->temporary.string());
    }
  }
}

int64_t ArtifactStore::Upload::size_bytes() const { return state_->size_bytes; }

std::string ArtifactStore::Upload::commit(const std::string& expected) {
  const std::string digest = state_->hash.finish();
  if (!expected.empty() && expected != digest) {
    throw Error(Code::kDataLoss, "expected bytes with the digest " + expected + ", found " + digest + " (" +
                                     std::to_string(state_->size_bytes) + " bytes): send them again");
  }
  if (::fsync(state_->fd) != 0) base::fail_errno("writing the artifact to disk", state_->temporary.string());
  const std::string hex = digest.substr(kPrefix.size());
  const fs::path parent = state_->store / "sha256" / hex.substr(0, 2);
  const fs::path place = parent / hex.substr(2);
  if (fs::create_directory(parent)) base::fsync_path(parent.parent_path());
  // The same bytes replace themselves: this also repairs a damaged artifact.
  if (::rename(state_->temporary.c_str(), place.c_str()) != 0) base::fail_errno("renaming to", place.string());
  state_->temporary.clear();
  base::fsync_path(parent);
  return digest;
}

std::string ArtifactStore::put_bytes(std::string_view bytes) {
  Upload incoming = upload();
  incoming.write(bytes);
  return incoming.commit();
}

std::string ArtifactStore::put_file(const fs::path& file) {
  Upload incoming = upload();
  read_pieces(file, kPiece, [&](std::string_view piece) { incoming.write(piece); });
  return incoming.commit();
}

std::string ArtifactStore::put_folder(const fs::path& folder) {
  Upload incoming = upload();
  pack_folder(folder, [&](std::string_view piece) { incoming.write(piece); });
  return incoming.commit();
}

fs::path ArtifactStore::locate(const std::string& digest) const {
  if (!base::is_digest(digest)) {
    base::fail_input("expected a digest, sha256: and 64 hexadecimal digits, found '" + digest + "'");
  }
  const std::string hex = digest.substr(kPrefix.size());
  return folder_ / "sha256" / hex.substr(0, 2) / hex.substr(2);
}

bool ArtifactStore::has(const std::string& digest) const {
  std::error_code ignored;
  return fs::is_regular_file(locate(digest), ignored);
}

fs::path ArtifactStore::path(const std::string& digest) const {
  const fs::path place = locate(digest);
  if (!has(digest)) {
    throw Error(Code::kNotFound, "there is no artifact " + digest + " in this store", {.file = folder_.string()});
  }
  return place;
}

int64_t ArtifactStore::size_bytes(const std::string& digest) const {
  return static_cast<int64_t>(fs::file_size(path(digest)));
}

std::string ArtifactStore::read(const std::string& digest) const {
  std::string bytes;
  stream(digest, [&](std::string_view piece) { bytes += piece; });
  return bytes;
}

void ArtifactStore::stream(const std::string& digest, const std::function<void(std::string_view)>& sink,
                           size_t piece_bytes) const {
  const fs::path place = path(digest);
  base::Sha256 hash;
  int64_t size = 0;
  read_pieces(place, piece_bytes, [&](std::string_view piece) {
    hash.update(piece);
    size += static_cast<int64_t>(piece.size());
    sink(piece);
  });
  const std::string found = hash.finish();
  if (found != digest) {
    throw Error(Code::kDataLoss,
                "the artifact's bytes are damaged: expected " + digest + ", found " + found + " in " +
                    std::to_string(size) + " bytes: restore it from a backup, or put it again",
                {.file = place.string()});
  }
}

void ArtifactStore::verify(const std::string& digest) const {
  stream(digest, [](std::string_view) {});
}

void ArtifactStore::remove(const std::string& digest) {
  const fs::path place = path(digest);
  if (::unlink(place.c_str()) != 0) base::fail_errno("removing", place.string());
  base::fsync_path(place.parent_path());
}

std::vector<std::string> ArtifactStore::list() const {
  std::vector<std::string> digests;
  for (const auto& folder : fs::directory_iterator(folder_ / "sha256")) {
    for (const auto& file : fs::directory_iterator(folder)) {
      digests.push_back(std::string(kPrefix) + folder.path().filename().string() + file.path().filename().string());
    }
  }
  std::sort(digests.begin(), digests.end());
  return digests;
}

}  // namespace masbak::registry

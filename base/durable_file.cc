#include "base/durable_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <vector>

#include "base/error.h"

namespace masbak::base {
namespace {

namespace fs = std::filesystem;

// Beside the target, hidden, and different for each process and each use.
fs::path temporary_name(const fs::path& target) {
  static std::atomic<uint64_t> counter{0};
  return target.parent_path() / ("." + target.filename().string() + ".tmp-" + std::to_string(::getpid()) + "-" +
                                 std::to_string(counter.fetch_add(1)));
}

fs::path parent_of(const fs::path& path) {
  const fs::path parent = path.parent_path();
  return parent.empty() ? fs::path(".") : parent;
}

// Creates the missing folders on the way to `folder`, outermost first, and says which.
std::vector<fs::path> make_folders(const fs::path& folder) {
  std::vector<fs::path> missing;
  for (fs::path at = folder; !at.empty() && !fs::exists(at); at = at.parent_path()) {
    missing.push_back(at);
    if (at == at.parent_path()) break;
  }
  std::vector<fs::path> made;
  for (auto at = missing.rbegin(); at != missing.rend(); ++at) {
    if (::mkdir(at->c_str(), 0777) == 0) {
      made.push_back(*at);
      fsync_path(parent_of(*at));
    } else if (errno != EEXIST) {
      const int fault = errno;
      for (auto back = made.rbegin(); back != made.rend(); ++back) ::rmdir(back->c_str());
      errno = fault;
      fail_errno("creating the folder", at->string());
    }
  }
  return made;
}

// Undoes make_folders as far as the folders are still empty.
void remove_folders(const std::vector<fs::path>& made) {
  for (auto at = made.rbegin(); at != made.rend(); ++at) {
    if (::rmdir(at->c_str()) != 0) return;
  }
}

void write_all(int fd, std::string_view bytes, const std::string& file) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written >= 0) {
      bytes.remove_prefix(static_cast<size_t>(written));
    } else if (errno != EINTR) {
      fail_errno("writing the file", file);
    }
  }
}

void sync_tree(const fs::path& folder) {
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_symlink()) continue;
    if (entry.is_regular_file() || entry.is_directory()) fsync_path(entry.path());
  }
  fsync_path(folder);
}

// Holds a file alone among the open files, of this process and of others, that ask the same way. Without it, who looks
// for a torn line may see the first part of one that is being written across a page's border, and cut off what others
// add meanwhile. Where the file system has no locks (Lustre mounted without them), one writer is as safe as with them.
class FileLock {
 public:
  FileLock(int fd, const std::string& file) : fd_(fd) {
    while (::flock(fd_, LOCK_EX) != 0) {
      if (errno == ENOSYS || errno == EOPNOTSUPP || errno == ENOLCK) return;
      if (errno != EINTR) fail_errno("locking the file", file);
    }
  }
  ~FileLock() { ::flock(fd_, LOCK_UN); }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int fd_;
};

// A line torn by a crash was never reported as written: removed, or the next one would join it. The caller holds the
// lock. Devices and pipes have nothing to remove.
void drop_torn_line(int fd, const std::string& file) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) fail_errno("looking at the file", file);
  if (!S_ISREG(status.st_mode) || status.st_size == 0) return;
  off_t end = status.st_size;
  std::string piece(1, '\0');  // most often the line break is there; the rest is for a torn line
  while (end > 0) {
    const off_t from = end - static_cast<off_t>(piece.size());
    const ssize_t got = ::pread(fd, piece.data(), piece.size(), from);
    if (got != static_cast<ssize_t>(piece.size())) {
      if (got >= 0) errno = EIO;  // cut shorter meanwhile by who does not ask for the lock
      fail_errno("reading the end of the file", file);
    }
    const size_t newline = piece.rfind('\n');
    end = newline == std::string::npos ? from : from + static_cast<off_t>(newline) + 1;
    if (newline != std::string::npos) break;
    piece.resize(static_cast<size_t>(std::min<off_t>(end, 4096)));
  }
  if (end != status.st_size && ::ftruncate(fd, end) != 0) fail_errno("removing a torn last line", file);
}

// Opens for reading and returns the size; refuses what is no regular file.
int open_regular(const fs::path& file, size_t& size) {
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail_errno("opening the file", file.string());
  struct stat status {};
  int fault = ::fstat(fd, &status) == 0 ? 0 : errno;
  if (fault == 0 && S_ISDIR(status.st_mode)) fault = EISDIR;
  if (fault != 0) {
    ::close(fd);
    errno = fault;
    fail_errno("opening the file", file.string());
  }
  size = static_cast<size_t>(status.st_size);
  return fd;
}

}  // namespace

std::string read_file(const fs::path& file) {
  size_t size = 0;
  const int fd = open_regular(file, size);
  std::string bytes(size, '\0');
  size_t filled = 0;
  for (;;) {
    // One byte past the size: files in /proc say 0, and a file may have grown meanwhile.
    if (filled == bytes.size()) bytes.resize(bytes.size() + (bytes.size() == size ? 1 : 65536));
    const ssize_t got = ::read(fd, bytes.data() + filled, bytes.size() - filled);
    if (got == 0) break;
    if (got > 0) {
      filled += static_cast<size_t>(got);
    } else if (errno != EINTR) {
      const int fault = errno;
      ::close(fd);
      errno = fault;
      fail_errno("reading the file", file.string());
    }
  }
  ::close(fd);
  bytes.resize(filled);
  return bytes;
}

void write_file_durably(const fs::path& file, std::string_view bytes) {
  DurableWriter writer(file);
  writer.write(bytes);
  writer.commit();
}

struct DurableWriter::State {
  fs::path file, temporary;
  std::vector<fs::path> made_folders;
  std::string buffer;
  int fd = -1;
  bool committed = false;

  static constexpr size_t kBufferBytes = size_t{1} << 18;

  ~State() {
    if (fd >= 0) ::close(fd);
    if (committed) return;
    if (!temporary.empty()) ::unlink(temporary.c_str());
    remove_folders(made_folders);
  }
  void flush() {
    write_all(fd, buffer, file.string());
    buffer.clear();
  }
  void require_open(const char* doing) const {
    if (fd < 0) {
      throw Error(Code::kFailedPrecondition, std::string(doing) + " after the file was committed",
                  {.file = file.string()});
    }
  }
};

DurableWriter::DurableWriter(const fs::path& file) : state_(std::make_unique<State>()) {
  if (file.filename().empty()) {
    fail_input("expected the path of a file, found that of a folder", {.file = file.string()});
  }
  std::error_code ignored;
  if (fs::is_directory(file, ignored)) {
    fail_input("expected the path of a file, found a folder there; choose another name", {.file = file.string()});
  }
  state_->file = file;
  state_->made_folders = make_folders(file.parent_path());
  const fs::path temporary = temporary_name(file);
  state_->fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (state_->fd < 0) fail_errno("creating the file", file.string());
  state_->temporary = temporary;
}

DurableWriter::~DurableWriter() = default;

void DurableWriter::write(std::string_view bytes) {
  state_->require_open("a write");
  if (state_->buffer.size() + bytes.size() < State::kBufferBytes) {
    state_->buffer += bytes;
    return;
  }
  state_->flush();
  write_all(state_->fd, bytes, state_->file.string());
}

void DurableWriter::commit() {
  state_->require_open("a second commit");
  const std::string file = state_->file.string();
  state_->flush();
  if (::fsync(state_->fd) != 0) fail_errno("writing the file to disk", file);
  const int fd = state_->fd;
  state_->fd = -1;
  if (::close(fd) != 0) fail_errno("closing the file", file);
  if (::rename(state_->temporary.c_str(), file.c_str()) != 0) fail_errno("putting the file in place", file);
  state_->committed = true;
  fsync_path(parent_of(state_->file));
}

DurableFolder::DurableFolder(const fs::path& folder) {
  // Resolved once: a trailing slash, a relative path or a link must not change where the parts go.
  folder_ = fs::weakly_canonical(fs::absolute(folder));
  if (!folder_.has_filename()) folder_ = folder_.parent_path();
  std::error_code fault;
  if (fs::exists(folder_, fault) && (!fs::is_directory(folder_, fault) || !fs::is_empty(folder_, fault))) {
    throw Error(Code::kAlreadyExists,
                "expected a new or empty folder, found something there already; "
                "choose another name or remove it",
                {.file = folder.string()});
  }
  made_folders_ = make_folders(folder_.parent_path());
  const fs::path temporary = temporary_name(folder_);
  if (::mkdir(temporary.c_str(), 0777) != 0) {
    const int number = errno;
    remove_folders(made_folders_);
    errno = number;
    fail_errno("creating the folder", folder.string());
  }
  temporary_ = temporary;
}

DurableFolder::~DurableFolder() {
  if (committed_) return;
  std::error_code ignored;  // a destructor reports nothing; what stays is hidden and named .tmp
  fs::remove_all(temporary_, ignored);
  remove_folders(made_folders_);
}

void DurableFolder::commit() {
  if (committed_) throw Error(Code::kFailedPrecondition, "a second commit", {.file = folder_.string()});
  sync_tree(temporary_);
  if (::rename(temporary_.c_str(), folder_.c_str()) != 0) {
    if (errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR) {
      throw Error(Code::kAlreadyExists, "something appeared in this place meanwhile; choose another name or remove it",
                  {.file = folder_.string()});
    }
    fail_errno("putting the folder in place", folder_.string());
  }
  committed_ = true;
  fsync_path(parent_of(folder_));
}

LineAppender::LineAppender(const fs::path& file) : file_(file.string()) {
  make_folders(file.parent_path());
  fd_ = ::open(file.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (fd_ < 0) fail_errno("opening the file", file_);
  try {
    const FileLock alone(fd_, file_);
    drop_torn_line(fd_, file_);
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

LineAppender::~LineAppender() {
  if (fd_ >= 0) ::close(fd_);
}

void LineAppender::append(std::string_view line, bool sync) {
  if (line.find('\n') != std::string_view::npos) {
    throw Error(Code::kInternal, "a line to append holds a line break", {.file = file_});
  }
  {
    const FileLock alone(fd_, file_);
    // Another process may have died in the middle of its line since.
    drop_torn_line(fd_, file_);
    const std::string whole = std::string(line) + "\n";
    try {
      write_all(fd_, whole, file_);
    } catch (const Error&) {
      // A part of the line may have gone in before the disk was full: readers are to see whole lines.
      drop_torn_line(fd_, file_);
      throw;
    }
  }
  if (sync && ::fsync(fd_) != 0) fail_errno("writing the file to disk", file_);
}

void fsync_path(const fs::path& file_or_folder) {
  const int fd = ::open(file_or_folder.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail_errno("opening for a flush to disk", file_or_folder.string());
  const int result = ::fsync(fd);
  const int fault = errno;
  ::close(fd);
  // Some file systems cannot flush a folder and say EINVAL; there is nothing more to be done then.
  if (result != 0 && fault != EINVAL) {
    errno = fault;
    fail_errno("writing to disk", file_or_folder.string());
  }
}

MappedFile::MappedFile(const fs::path& file) : path_(file) {
  const int fd = open_regular(file, size_);
  if (size_ == 0) {
    ::close(fd);
    return;
  }
  void* data = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, fd, 0);
  const int fault = errno;
  ::close(fd);
  if (data == MAP_FAILED) {
    errno = fault;
    fail_errno("mapping the file into memory", file.string());
  }
  data_ = static_cast<const char*>(data);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<char*>(data_), size_);
}

}  // namespace masbak::base

#include "trainer/data/scratch.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/error.h"

namespace masbak::trainer {
namespace {

namespace fs = std::filesystem;

constexpr size_t kFirstSlots = 1 << 12;

}  // namespace

fs::path cache_root() {
  if (const char* cache = std::getenv("MASBAK_CACHE"); cache && *cache) return cache;
  if (const char* home = std::getenv("HOME"); home && *home) return fs::path(home) / ".cache" / "masbak";
  return {};
}

fs::path scratch_folder() {
  const fs::path cache = cache_root();
  std::error_code fault;
  if (!cache.empty()) {
    fs::create_directories(cache, fault);
    if (!fault && ::access(cache.c_str(), W_OK) == 0) return cache;
  }
  return fs::temp_directory_path();
}

ScratchFile::ScratchFile(size_t bytes) {
  const fs::path folder = scratch_folder();
  fd_ = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd_ < 0) {
    // Not every file system has files without a name.
    std::string name = (folder / ".scratch-XXXXXX").string();
    fd_ = ::mkostemp(name.data(), O_CLOEXEC);
    if (fd_ < 0) base::fail_errno("creating a temporary file", folder.string());
    ::unlink(name.c_str());
  }
  reserve(0, bytes);
  void* map = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  if (map == MAP_FAILED) {
    const int fault = errno;
    ::close(fd_);
    errno = fault;
    base::fail_errno("mapping a temporary file", folder.string());
  }
  data_ = static_cast<char*>(map);
  size_ = bytes;
}

ScratchFile::~ScratchFile() {
  if (data_) ::munmap(data_, size_);
  if (fd_ >= 0) ::close(fd_);
}

// Space that is promised now cannot be missing when a page is written, which would kill the process.
void ScratchFile::reserve(size_t from, size_t bytes) {
  const int fault = ::posix_fallocate(fd_, static_cast<off_t>(from), static_cast<off_t>(bytes - from));
  if (fault == 0) return;
  errno = fault;
  base::fail_errno("enlarging a temporary file", scratch_folder().string());
}

void ScratchFile::grow(size_t bytes) {
  reserve(size_, bytes);
  void* map = ::mremap(data_, size_, bytes, MREMAP_MAYMOVE);
  if (map == MAP_FAILED) base::fail_errno("mapping a temporary file", scratch_folder().string());
  data_ = static_cast<char*>(map);
  size_ = bytes;
}

ScratchTable::ScratchTable() : file_(kFirstSlots * sizeof(Slot)), count_(kFirstSlots) {}

ScratchTable::Slot* ScratchTable::place(Slot* slots, size_t count, Key key) {
  for (size_t i = key.high & (count - 1);; i = (i + 1) & (count - 1)) {
    Slot& slot = slots[i];
    if (slot.value == 0 || (slot.high == key.high && slot.low == key.low)) return &slot;
  }
}

void ScratchTable::double_size() {
  ScratchFile larger(2 * file_.size());
  auto* to = reinterpret_cast<Slot*>(larger.data());
  for (size_t i = 0; i < count_; ++i) {
    const Slot& slot = slots()[i];
    if (slot.value != 0) *place(to, 2 * count_, {slot.high, slot.low}) = slot;
  }
  count_ *= 2;
  file_ = std::move(larger);
}

uint32_t ScratchTable::find_or_add(Key key, uint32_t value) {
  Slot* slot = place(slots(), count_, key);
  if (slot->value != 0) return slot->value;
  *slot = {key.high, key.low, value};
  if (++used_ * 3 > count_ * 2) double_size();
  return 0;
}

}  // namespace masbak::trainer

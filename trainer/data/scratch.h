// Working memory that lies in a file: it grows with the data, and the system may take its pages back at any time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <utility>

namespace masbak::trainer {

// Where large intermediate results may lie: the cache's folder if it can be written, else the folder for temporary
// files.
std::filesystem::path scratch_folder();

// $MASBAK_CACHE, or ~/.cache/masbak; empty if neither is known.
std::filesystem::path cache_root();

// A mapped file without a name: gone when the object is, or the process. RESOURCE_EXHAUSTED on a full disk.
class ScratchFile {
 public:
  explicit ScratchFile(size_t bytes);
  ~ScratchFile();
  ScratchFile(ScratchFile&& other) noexcept { swap(other); }
  ScratchFile& operator=(ScratchFile&& other) noexcept {
    swap(other);
    return *this;
  }
  // Keeps what there is; what is added is 0. Addresses change.
  void grow(size_t bytes);
  char* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  void swap(ScratchFile& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }
  void reserve(size_t from, size_t bytes);

  int fd_ = -1;
  char* data_ = nullptr;
  size_t size_ = 0;
};

// Keys of 96 bits to numbers that are not 0, by open addressing. 16 bytes a slot.
class ScratchTable {
 public:
  struct Key {
    uint64_t high = 0;
    uint32_t low = 0;
  };
  ScratchTable();
  // The number that the key has, 0 if none.
  uint32_t find(Key key) const { return place(slots(), count_, key)->value; }
  // The number that the key has; `value` becomes it if there was none, and then 0 is given back.
  uint32_t find_or_add(Key key, uint32_t value);

 private:
  struct Slot {
    uint64_t high;
    uint32_t low, value;
  };
  Slot* slots() const { return reinterpret_cast<Slot*>(file_.data()); }
  static Slot* place(Slot* slots, size_t count, Key key);
  void double_size();

  ScratchFile file_;
  size_t count_ = 0, used_ = 0;
};

}  // namespace masbak::trainer

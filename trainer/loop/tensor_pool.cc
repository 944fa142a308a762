#include "trainer/loop/tensor_pool.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <new>
#include <string>

namespace masbak::trainer {
namespace {

constexpr size_t kLine = 64;
// Behind each block: tensors whose sizes are powers of two would otherwise all begin at one place of a page, and reads
// and writes of several at once would wait for each other.
constexpr size_t kShift = 3 * kLine;
constexpr size_t kSegment = size_t{64} << 20;  // taken from the system at a time, at least
constexpr size_t kSmallest = size_t{64} << 10;

class NoMemory final : public std::bad_alloc {
 public:
  explicit NoMemory(size_t bytes)
      : text_("cannot allocate memory: a tensor of " + std::to_string(bytes) + " bytes was asked for") {}
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

class TensorPool final : public c10::Allocator {
 public:
  TensorPool() : plain_(c10::GetDefaultCPUAllocator()) {}

  c10::DataPtr allocate(size_t bytes) override {
    if (bytes < kSmallest) return plain_->allocate(bytes);
    void* block = blocks().take(bytes);
    if (!block) throw NoMemory(bytes);
    return {block, block, &give_back, c10::DeviceType::CPU};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &give_back; }
  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }

  // Never destroyed: tensors of static objects outlive it.
  static BlockPool& blocks() {
    static auto* pool = new BlockPool;
    return *pool;
  }

 private:
  static void give_back(void* block) {
    if (block && !blocks().give(block)) c10::free_cpu(block);
  }

  c10::Allocator* plain_;
};

}  // namespace

BlockPool::~BlockPool() {
  for (const auto& [begin, size] : segments_) ::munmap(begin, size);
}

void BlockPool::add_free(char* begin, size_t size) {
  auto at = std::lower_bound(free_by_place_.begin(), free_by_place_.end(), begin,
                             [](const Room& room, const char* place) { return room.begin < place; });
  const bool meets_next = at != free_by_place_.end() && begin + size == at->begin;
  const bool meets_before = at != free_by_place_.begin() && std::prev(at)->begin + std::prev(at)->size == begin;
  if (meets_before && meets_next) {
    std::prev(at)->size += size + at->size;
    free_by_place_.erase(at);
  } else if (meets_before) {
    std::prev(at)->size += size;
  } else if (meets_next) {
    *at = {begin, size + at->size};
  } else {
    free_by_place_.insert(at, {begin, size});
  }
}

std::vector<BlockPool::Room>::iterator BlockPool::last_fit(size_t size) {
  const auto fits = [size](const Room& room) { return room.size >= size; };
  const auto found = std::find_if(free_by_place_.rbegin(), free_by_place_.rend(), fits);
  return found == free_by_place_.rend() ? free_by_place_.end() : std::prev(found.base());
}

void* BlockPool::take(size_t bytes) {
  const size_t size = (bytes + kLine - 1) / kLine * kLine + kShift;
  if (size < bytes) return nullptr;
  const std::lock_guard lock(mutex_);
  auto found = last_fit(size);
  if (found == free_by_place_.end()) {
    size_t segment = std::max(size, kSegment);
    void* fresh = ::mmap(nullptr, segment, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fresh == MAP_FAILED && segment > size) {  // near a limit: only what is needed
      segment = size;
      fresh = ::mmap(nullptr, segment, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    }
    if (fresh == MAP_FAILED) return nullptr;
    segments_[static_cast<char*>(fresh)] = segment;
    add_free(static_cast<char*>(fresh), segment);  // the system places it below the one before, mostly
    found = last_fit(size);
  }
  // From the upper end: what was used before stays what is used first.
  const auto [begin, room] = *found;
  char* block = begin + (room - size);
  if (room > size) {
    found->size = room - size;
  } else {
    free_by_place_.erase(found);
  }
  taken_[block] = size;
  Use& use = uses_[std::this_thread::get_id()];
  use.now += static_cast<int64_t>(size);
  use.most = std::max(use.most, use.now);
  return block;
}

bool BlockPool::give(void* block) {
  const std::lock_guard lock(mutex_);
  const auto found = taken_.find(static_cast<char*>(block));
  if (found == taken_.end()) return false;
  const auto [begin, size] = *found;
  taken_.erase(found);
  uses_[std::this_thread::get_id()].now -= static_cast<int64_t>(size);
  add_free(begin, size);
  return true;
}

size_t BlockPool::taken_bytes() const {
  const std::lock_guard lock(mutex_);
  int64_t bytes = 0;
  for (const auto& [thread, use] : uses_) bytes += use.now;
  return static_cast<size_t>(bytes);
}

size_t BlockPool::system_bytes() const {
  const std::lock_guard lock(mutex_);
  size_t bytes = 0;
  for (const auto& [begin, size] : segments_) bytes += size;
  return bytes;
}

size_t BlockPool::resident_bytes() const {
  const std::lock_guard lock(mutex_);
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  size_t bytes = 0;
  for (const auto& [begin, size] : segments_) {
    std::vector<unsigned char> pages((size + page - 1) / page);
    if (::mincore(begin, size, pages.data()) != 0) continue;
    bytes +=
        page * static_cast<size_t>(std::count_if(pages.begin(), pages.end(), [](auto state) { return state & 1; }));
  }
  return bytes;
}

void BlockPool::watch() {
  const std::lock_guard lock(mutex_);
  for (auto& [thread, use] : uses_) use.most = use.now;
}

size_t BlockPool::watched_bytes() const {
  const std::lock_guard lock(mutex_);
  int64_t bytes = 0;
  for (const auto& [thread, use] : uses_) bytes += use.most;
  return static_cast<size_t>(bytes);
}

namespace {

BlockPool* used = nullptr;

}  // namespace

BlockPool* tensor_pool() { return used; }

void use_tensor_pool() {
  // LibTorch keeps what it knows of each size of a product a second time for each thread, half a megabyte each. One
  // look at oneDNN's own store instead costs nothing that could be measured. Read once, at the first product.
  ::setenv("LRU_CACHE_CAPACITY", "8", /*overwrite=*/0);
  static TensorPool pool;
  used = &TensorPool::blocks();
  c10::SetCPUAllocator(&pool, /*priority=*/100);
}

}  // namespace masbak::trainer

// Memory for tensors apart from the memory of everything else.
//
// A step of training allocates and frees the same gigabytes as the one before. Between them the program makes small
// things that stay: above all oneDNN's machine code, for each new size of a product. In one heap these end up in the
// holes that large tensors leave, and the tensors of the next step have to lie elsewhere: the heap grows by a third of
// what the tensors take, and differently each time. Handed back to the system instead, every page would be cleared
// anew at the next step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

namespace masbak::trainer {

// Blocks of memory. A block goes to the uppermost room that it fits, and what is given back grows together with its
// free neighbours: a step that takes on its way forward and gives back on its way back stays in one piece, whatever the
// steps before it took. What was taken from the system is kept. Safe from any thread.
class BlockPool {
 public:
  BlockPool() = default;
  ~BlockPool();
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  // At least `bytes`, at a multiple of 64; null if the system has no more. Nothing is cleared but by the system, at
  // the first use of a page.
  void* take(size_t bytes);
  // Whether the block was taken from here; then it is given back.
  bool give(void* block);

  size_t taken_bytes() const;  // now
  size_t system_bytes() const;
  // Of system_bytes, what has been written to since.
  size_t resident_bytes() const;

  // From now on each thread's most is looked at: what it took less what it gave back.
  void watch();
  // The threads' mosts since then, added up: what is taken where they all come at one time.
  size_t watched_bytes() const;

 private:
  struct Room {
    char* begin;
    size_t size;
  };
  void add_free(char* begin, size_t size);
  std::vector<Room>::iterator last_fit(size_t size);  // of free_by_place_

  mutable std::mutex mutex_;
  std::vector<Room> free_by_place_;  // one behind the other: it is searched for each tensor
  std::map<char*, size_t> taken_, segments_;
  struct Use {
    int64_t now = 0, most = 0;  // below 0 if the thread gives back what others took
  };
  std::map<std::thread::id, Use> uses_;
};

// From now on LibTorch takes tensors of 64 KiB and more from a pool of their own, and keeps less beside it, for the
// rest of the process. Before anything is computed. std::bad_alloc, with the size, where there is no more memory.
void use_tensor_pool();

// That pool; null before use_tensor_pool().
BlockPool* tensor_pool();

}  // namespace masbak::trainer

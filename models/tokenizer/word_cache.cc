#include "models/tokenizer/word_cache.h"

#include <atomic>

namespace masbak::models {

uint64_t WordCache::next_owner() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

WordCache& WordCache::of_thread(uint64_t owner) {
  thread_local WordCache cache;
  if (cache.owner_ != owner) {
    cache.slots_.assign(kSlots, Slot());
    cache.owner_ = owner;
  }
  return cache;
}

}  // namespace masbak::models

// Wakes those who wait for something to happen: watchers of jobs and the scheduler.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace masbak::services {

// Thread-safe. A hint only: what changed is read from the store.
class Changes {
 public:
  void announce() {
    {
      std::lock_guard lock(mutex_);
      ++count_;
    }
    changed_.notify_all();
  }
  uint64_t count() const {
    std::lock_guard lock(mutex_);
    return count_;
  }
  // Until more than `seen` were announced, or the time is over.
  void wait(uint64_t seen, std::chrono::milliseconds at_most) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, at_most, [&] { return count_ > seen; });
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t count_ = 0;
};

}  // namespace masbak::services

#include "models/tokenizer/parallel.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace masbak::models {
namespace {

// Taken at a time by a thread: small enough that all end together.
constexpr size_t kChunk = 16;

struct Job {
  size_t count;
  const std::function<void(size_t)>* work;
  std::atomic<size_t> next{0};
  std::atomic<bool> failed{false};
  std::exception_ptr error;
  std::mutex mutex;

  void run() {
    try {
      for (size_t begin; !failed && (begin = next.fetch_add(kChunk)) < count;) {
        for (size_t i = begin; i < std::min(begin + kChunk, count); ++i) (*work)(i);
      }
    } catch (...) {
      std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
      failed = true;
    }
  }
};

class Pool {
 public:
  static Pool& instance() {
    static Pool* pool = new Pool;  // never ends: its threads may outlive the end of main
    return *pool;
  }

  bool run(Job& job, size_t helpers) {
    std::unique_lock turn(turn_, std::try_to_lock);
    if (!turn) return false;
    {
      std::lock_guard lock(mutex_);
      while (threads_ < helpers) {
        std::thread([this, number = threads_] { serve(number); }).detach();
        ++threads_;
      }
      job_ = &job;
      wanted_ = helpers;
      running_ = helpers;
      ++serial_;
    }
    wake_.notify_all();
    job.run();
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return running_ == 0; });
    job_ = nullptr;
    return true;
  }

 private:
  void serve(size_t number) {
    size_t seen = 0;
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(lock, [&] { return serial_ != seen && job_ != nullptr && number < wanted_; });
      seen = serial_;
      Job* job = job_;
      lock.unlock();
      job->run();
      lock.lock();
      if (--running_ == 0) done_.notify_all();
    }
  }

  std::mutex turn_, mutex_;
  std::condition_variable wake_, done_;
  Job* job_ = nullptr;
  size_t threads_ = 0, wanted_ = 0, running_ = 0, serial_ = 0;
};

}  // namespace

void parallel_for(size_t count, int threads, const std::function<void(size_t)>& work) {
  const size_t cores = threads > 0 ? static_cast<size_t>(threads) : std::max(1u, std::thread::hardware_concurrency());
  const size_t helpers = std::min(cores, (count + kChunk - 1) / kChunk);
  Job job{.count = count, .work = &work};
  if (helpers < 2 || !Pool::instance().run(job, helpers - 1)) job.run();
  if (job.error) std::rethrow_exception(job.error);
}

}  // namespace masbak::models

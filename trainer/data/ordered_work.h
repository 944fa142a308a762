// Work on a stream of items by several threads, with the results in the order of the items.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace masbak::trainer {

// `next` fills an item, or says false at the end; `work` makes a result of it, on any of `threads` threads; `done`
// takes the results in the order of the items. next and done are called on the caller's thread. At most a few items a
// thread are alive. The first exception of any of them ends everything and goes up.
template <typename Item, typename Result>
void ordered_work(int threads, const std::function<bool(Item*)>& next, const std::function<Result(Item)>& work,
                  const std::function<void(Result)>& done) {
  using Task = std::packaged_task<Result()>;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Task> tasks;
  bool closed = false;
  const auto serve = [&] {
    for (;;) {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return closed || !tasks.empty(); });
      if (tasks.empty()) return;
      Task task = std::move(tasks.front());
      tasks.pop_front();
      lock.unlock();
      task();
    }
  };
  // Closes and joins also when an exception leaves.
  struct Workers {
    std::mutex& mutex;
    std::condition_variable& changed;
    bool& closed;
    std::deque<Task>& tasks;
    std::vector<std::thread> threads;
    ~Workers() {
      {
        const std::lock_guard lock(mutex);
        closed = true;
        tasks.clear();
      }
      changed.notify_all();
      for (std::thread& thread : threads) thread.join();
    }
  } workers{mutex, changed, closed, tasks, {}};
  for (int i = 0; i < threads; ++i) workers.threads.emplace_back(serve);

  std::deque<std::future<Result>> under_way;
  const auto take_oldest = [&] {
    std::future<Result> oldest = std::move(under_way.front());
    under_way.pop_front();
    done(oldest.get());
  };
  for (Item item; next(&item);) {
    Task task([&work, moved = std::make_shared<Item>(std::move(item))] { return work(std::move(*moved)); });
    under_way.push_back(task.get_future());
    {
      const std::lock_guard lock(mutex);
      tasks.push_back(std::move(task));
    }
    changed.notify_one();
    if (under_way.size() >= static_cast<size_t>(2 * threads + 1)) take_oldest();
    item = Item();
  }
  while (!under_way.empty()) take_oldest();
}

}  // namespace masbak::trainer

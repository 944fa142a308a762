// The thread that looks, lets the scheduler decide, and does it.
#pragma once

#include <atomic>
#include <thread>

#include "services/control/context.h"
#include "services/control/scheduler.h"

namespace masbak::services {

// Starts at construction, ends at destruction. Every action is one transaction, and is decided again from what
// is stored if the program was killed before it: nothing is lost, nothing happens twice.
class SchedulerLoop {
 public:
  explicit SchedulerLoop(ControlContext& context);
  ~SchedulerLoop();

 private:
  void run();
  Snapshot look();

  ControlContext& context_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// Does one action, as the actor "system".
void apply(ControlContext& context, const Action& action);

}  // namespace masbak::services

#include "models/layers/threads.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

namespace masbak::models {

int64_t threads_here() { return at::in_parallel_region() ? 1 : at::get_num_threads(); }

void side_by_side(int64_t count, const std::function<void(int64_t)>& body) {
  const bool with_gradient = c10::GradMode::is_enabled();
  at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
    const at::AutoGradMode mode(with_gradient);  // the mode is a thread's own
    for (int64_t i = begin; i < end; ++i) body(i);
  });
}

}  // namespace masbak::models

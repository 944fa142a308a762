#include "models/layers/threads.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace masbak::models {

int64_t threads_here() { return at::in_parallel_region() ? 1 : at::get_num_threads(); }

void side_by_side(int64_t count, const std::function<void(int64_t)>& body) {
  const bool with_gradient = c10::GradMode::is_enabled();
  at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
    const at::AutoGradMode mode(with_gradient);  // the mode is a thread's own
#ifdef _OPENMP
    // Of this thread until the region ends: oneDNN would plan a product for as many threads as are allowed, though it
    // gets one, and keep one plan for the first thread and another for the rest.
    omp_set_num_threads(1);
#endif
    for (int64_t i = begin; i < end; ++i) body(i);
  });
}

}  // namespace masbak::models

// Work side by side on LibTorch's threads.
#pragma once

#include <cstdint>
#include <functional>

namespace masbak::models {

// How many threads an operation may use from here: 1 inside of side_by_side().
int64_t threads_here();

// Calls body(i) for each i < count <= threads_here(), each on a thread of its own; every operation inside runs on that
// thread alone. Autograd graphs made inside belong to that thread. The first exception goes up when all have ended.
void side_by_side(int64_t count, const std::function<void(int64_t)>& body);

}  // namespace masbak::models

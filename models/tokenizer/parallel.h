// Work on many texts by threads that stay: each keeps its cache of words from one batch to the next.
#pragma once

#include <cstddef>
#include <functional>

namespace masbak::models {

// Calls work(i) for each i < count on up to `threads` threads (0: one a core), the caller's among them. The first
// exception stops the work and is thrown. While another caller is at work this one does all of its own.
void parallel_for(size_t count, int threads, const std::function<void(size_t)>& work);

}  // namespace masbak::models

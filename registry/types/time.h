// Time in the registry: UTC, whole microseconds, as PostgreSQL keeps it.
#pragma once

#include <chrono>

namespace masbak::registry {

using Time = std::chrono::time_point<std::chrono::system_clock, std::chrono::microseconds>;

// The zero value stands for "not yet": a job that has not ended has end_time == Time{}.
inline bool is_set(Time time) { return time != Time{}; }

}  // namespace masbak::registry

// Time as users and files see it.
#pragma once

#include <chrono>
#include <string>

namespace masbak::base {

// RFC 3339, UTC, microseconds: "2026-05-01T10:00:00.000000Z".
std::string rfc3339(std::chrono::system_clock::time_point when);
std::string now_rfc3339();

}  // namespace masbak::base

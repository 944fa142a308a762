#include "base/time.h"

#include <cstdio>
#include <ctime>

namespace masbak::base {

std::string rfc3339(std::chrono::system_clock::time_point when) {
  // floor, so that times before 1970 keep a fraction that counts forward.
  const auto seconds = std::chrono::floor<std::chrono::seconds>(when);
  const auto fraction_us = std::chrono::floor<std::chrono::microseconds>(when - seconds).count();
  const std::time_t time = std::chrono::system_clock::to_time_t(seconds);
  std::tm parts{};
  gmtime_r(&time, &parts);
  char text[80];
  std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", parts.tm_year + 1900, parts.tm_mon + 1,
                parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, static_cast<int>(fraction_us));
  return text;
}

std::string now_rfc3339() { return rfc3339(std::chrono::system_clock::now()); }

}  // namespace masbak::base

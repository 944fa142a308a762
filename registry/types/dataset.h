// In-house data as the registry knows it.
#pragma once

#include <cstdint>
#include <string>

#include "registry/types/time.h"

namespace masbak::registry {

// Immutable. The bytes are the artifact `digest`.
struct Dataset {
  std::string name;  // "datasets/refinery"
  std::string digest;
  int64_t size_bytes = 0;
  int64_t rows = 0;
  std::string format;
  std::string file_name;  // as it was uploaded
  // Set by the store:
  Time create_time{};
  std::string creator;
  std::string etag;
};

}  // namespace masbak::registry

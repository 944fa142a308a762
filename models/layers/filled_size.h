// Sizes of products, kept to few.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

namespace masbak::models {

// The next of the sizes that there are from `count` on: eight between a power of two and the next, and multiples of
// `least`. For each size of a product oneDNN makes machine code and keeps half a megabyte, so that filling up by a
// sixteenth costs less than a size for every count.
inline int64_t filled_size(int64_t count, int64_t least) {
  if (count <= 0) return 0;
  const auto power = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(count)));
  const int64_t step = std::max(least, power / 8);
  return (count + step - 1) / step * step;
}

}  // namespace masbak::models

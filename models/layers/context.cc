#include "models/layers/context.h"

#include <ATen/ops/empty.h>

#include <algorithm>

namespace masbak::models {

at::Tensor CacheRows::append(const at::Tensor& rows, int64_t past) {
  constexpr int64_t kFirst = 32;
  const int64_t length = past + rows.size(0), capacity = rows_.defined() ? rows_.size(0) : 0;
  if (length > capacity) {
    at::Tensor larger = at::empty({std::max({length, 2 * capacity, kFirst}), rows.size(1)}, rows.options());
    if (past > 0) larger.narrow(0, 0, past).copy_(rows_.narrow(0, 0, past));
    rows_ = larger;
  }
  rows_.narrow(0, past, rows.size(0)).copy_(rows.detach());
  return rows_.narrow(0, 0, length);
}

int64_t CacheRows::bytes() const {
  return (rows_.defined() ? static_cast<int64_t>(rows_.nbytes()) : 0) + pages_.bytes();
}

}  // namespace masbak::models

// Lists are read in pages, newest first.
#pragma once

#include <string>
#include <vector>

namespace masbak::registry {

struct PageRequest {
  int size = 0;       // 0: 50; above 1,000: 1,000; negative: INVALID_ARGUMENT
  std::string token;  // empty: the first page; else the `next` of the page before
};

// `next` is opaque and sealed with the installation's key: INVALID_ARGUMENT if it was altered, or used
// with another list or another filter. Empty on the last page.
template <typename T>
struct Page {
  std::vector<T> items;
  std::string next;
};

}  // namespace masbak::registry

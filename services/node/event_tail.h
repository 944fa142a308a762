// Reads a worker's events.jsonl while it grows.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace masbak::services {

// Not thread-safe.
class EventTail {
 public:
  explicit EventTail(std::filesystem::path file) : file_(std::move(file)) {}

  struct Batch {
    std::vector<std::string> lines;  // those with seq > after, in order
    bool more = false;               // further whole lines follow
  };
  // At most about `max_bytes` of lines, always one if there is one. A last line without its line break is
  // still being written and is left for the next call. A missing file has no lines.
  Batch after(int64_t seq, size_t max_bytes = 512 * 1024);

 private:
  std::filesystem::path file_;
  int64_t known_seq_ = 0;  // every line before known_offset_ has at most this seq
  uint64_t known_offset_ = 0;
};

// The last `max_bytes` of a file, from the start of a line if it is cut; `offset` says where that is.
std::string file_tail(const std::filesystem::path& file, size_t max_bytes, int64_t* offset);

}  // namespace masbak::services

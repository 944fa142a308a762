// What every fuzz target shares: an input as a file in memory, and what counts as a finding.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/error.h"

namespace masbak::fuzz {

// A file that lives in memory, for readers that take a path. The name in messages is /proc/self/fd/N.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view bytes) : fd_(::memfd_create("input", MFD_CLOEXEC)) {
    if (fd_ < 0 || ::write(fd_, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
      std::perror("fuzz: no file in memory");
      std::abort();
    }
  }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Runs `read`. Bad input may end in a base::Error that blames the input, on one line; every other exception,
// INTERNAL (a fault of our own) and a message of several lines are findings and end the process.
template <typename Read>
int expect_clear_errors(Read&& read) {
  try {
    read();
  } catch (const base::Error& error) {
    const std::string text = error.describe();
    if (error.code() == base::Code::kInternal || text.find('\n') != std::string::npos) {
      std::fprintf(stderr, "fuzz: not a clear error: %s\n", text.c_str());
      std::abort();
    }
  }
  return 0;
}

}  // namespace masbak::fuzz

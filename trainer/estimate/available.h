// How much memory this process may still have.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace masbak::trainer {

// The bytes of a line of /proc such as "VmHWM:   123 kB".
int64_t bytes_of_line(const std::string& line);
// Of the line of `file` that begins with `key`; -1 if there is none.
int64_t bytes_in(const std::filesystem::path& file, const std::string& key);

// What the process has resident now and what it may take beside it: the least of what the system has (MemAvailable),
// what its control groups leave (version 1 and 2, the process's own and those around it) and what the limit of its
// address space leaves (ulimit -v). -1 if the system says none of these. `root`: where /proc and /sys lie.
int64_t available_memory_bytes(const std::filesystem::path& root = "/");

}  // namespace masbak::trainer

#include "trainer/estimate/available.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>

namespace masbak::trainer {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kNone = -1;
constexpr int64_t kUnlimited = int64_t{1} << 60;  // version 1 writes "no limit" as a number near 2^63

// The number in a file of one number; -1 if there is none ("max").
int64_t number_in(const fs::path& file) {
  std::ifstream in(file);
  int64_t number = 0;
  return in >> number ? number : kNone;
}

// Of a file of lines "key number"; 0 if there is none.
int64_t stat_in(const fs::path& file, const std::string& key) {
  std::ifstream in(file);
  std::string word;
  for (int64_t number = 0; in >> word >> number;) {
    if (word == key) return number;
  }
  return 0;
}

struct Version {
  const char *mount, *limit, *usage, *reclaimable;
};
constexpr Version kVersion2 = {"sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"};
constexpr Version kVersion1 = {"sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                               "total_inactive_file"};

// What the group in `folder` leaves; -1 without a limit.
int64_t left_in_group(const fs::path& folder, const Version& version) {
  const int64_t limit = number_in(folder / version.limit), usage = number_in(folder / version.usage);
  if (limit < 0 || usage < 0 || limit > kUnlimited) return kNone;
  // Pages of files that nobody looks at are given back when others are wanted.
  return std::max<int64_t>(0, limit - usage + stat_in(folder / "memory.stat", version.reclaimable));
}

// The least that the process's groups leave, from its own up to the mount.
int64_t left_in_groups(const fs::path& root) {
  int64_t least = kNone;
  const auto look = [&](const Version& version, const std::string& path) {
    const fs::path mount = root / version.mount;
    for (fs::path own = fs::path(path).relative_path();; own = own.parent_path()) {
      const int64_t left = left_in_group(mount / own, version);
      if (left >= 0 && (least < 0 || left < least)) least = left;
      if (own.empty()) return;
    }
  };
  std::ifstream in(root / "proc/self/cgroup");  // lines "hierarchy:controllers:path"
  bool found = false;
  for (std::string line; std::getline(in, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const bool memory = controllers.find(",memory,") != std::string::npos;
    if (controllers != ",," && !memory) continue;
    look(memory ? kVersion1 : kVersion2, line.substr(second + 1));
    found = true;
  }
  if (!found) {
    look(kVersion2, "");
    look(kVersion1, "");
  }
  return least;
}

// What RLIMIT_AS leaves; -1 if the address space is not limited.
int64_t left_of_address_space(const fs::path& root) {
  std::ifstream in(root / "proc/self/limits");
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with("Max address space")) continue;
    std::istringstream words(line.substr(std::string("Max address space").size()));
    int64_t limit = 0;
    if (!(words >> limit)) return kNone;  // "unlimited"
    const int64_t used = bytes_in(root / "proc/self/status", "VmSize:");
    return std::max<int64_t>(0, limit - std::max<int64_t>(0, used));
  }
  return kNone;
}

}  // namespace

int64_t bytes_of_line(const std::string& line) {
  return std::stoll("0" + line.substr(std::min(line.size(), line.find_first_of("0123456789")))) * 1024;
}

int64_t bytes_in(const fs::path& file, const std::string& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(key)) return bytes_of_line(line);
  }
  return kNone;
}

int64_t available_memory_bytes(const fs::path& root) {
  int64_t least = kNone;
  for (const int64_t left :
       {bytes_in(root / "proc/meminfo", "MemAvailable:"), left_in_groups(root), left_of_address_space(root)}) {
    if (left >= 0 && (least < 0 || left < least)) least = left;
  }
  if (least < 0) return kNone;
  return least + std::max<int64_t>(0, bytes_in(root / "proc/self/status", "VmRSS:"));
}

}  // namespace masbak::trainer

// What the process may still have, read from planted files of /proc and /sys.
#include "trainer/estimate/available.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/base/temporary_folder.h"

namespace masbak::trainer {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

class Available : public ::testing::Test {
 protected:
  void SetUp() override {
    write("proc/meminfo", "MemTotal:       16384000 kB\nMemAvailable:    8192000 kB\n");
    write("proc/self/status", "Name:\tworker\nVmSize:\t  512000 kB\nVmRSS:\t   102400 kB\n");
    write("proc/self/limits", "Limit  Soft Limit  Hard Limit  Units\nMax address space  unlimited  unlimited  bytes\n");
  }
  void write(const std::string& name, const std::string& text) {
    const std::filesystem::path file = folder_ / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  // Beside the 100 MiB that are resident already.
  int64_t left() { return available_memory_bytes(folder_.path()) / kMiB - 100; }

  base::TemporaryFolder folder_;
};

TEST_F(Available, IsWhatTheSystemHas) { EXPECT_EQ(left(), 8000); }

TEST_F(Available, IsWhatTheGroupLeavesAndTheGroupsAroundIt) {
  write("proc/self/cgroup", "0::/jobs/train\n");
  write("sys/fs/cgroup/jobs/train/memory.max", "max\n");
  write("sys/fs/cgroup/jobs/train/memory.current", "1000\n");
  EXPECT_EQ(left(), 8000);
  write("sys/fs/cgroup/jobs/memory.max", std::to_string(600 * kMiB));
  write("sys/fs/cgroup/jobs/memory.current", std::to_string(500 * kMiB));
  write("sys/fs/cgroup/jobs/memory.stat", "anon 1\ninactive_file " + std::to_string(50 * kMiB) + "\nfile 2\n");
  EXPECT_EQ(left(), 150);
  write("sys/fs/cgroup/jobs/train/memory.max", std::to_string(40 * kMiB));
  EXPECT_EQ(left(), 39);
}

TEST_F(Available, KnowsTheOldControlGroups) {
  write("proc/self/cgroup", "5:cpu,cpuacct:/slurm\n4:memory:/slurm/job_7\n");
  write("sys/fs/cgroup/memory/slurm/job_7/memory.limit_in_bytes", std::to_string(300 * kMiB));
  write("sys/fs/cgroup/memory/slurm/job_7/memory.usage_in_bytes", std::to_string(100 * kMiB));
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712");
  write("sys/fs/cgroup/memory/memory.usage_in_bytes", "1");
  EXPECT_EQ(left(), 200);
}

TEST_F(Available, IsWhatTheLimitOfTheAddressSpaceLeaves) {
  write("proc/self/limits", "Max address space         1073741824           unlimited            bytes\n");
  EXPECT_EQ(left(), 1024 - 500);
}

TEST_F(Available, SaysSoIfTheSystemDoesNot) {
  for (const char* name : {"proc/meminfo", "proc/self/status", "proc/self/limits"}) {
    std::filesystem::remove(folder_ / name);
  }
  EXPECT_EQ(available_memory_bytes(folder_.path()), -1);
}

}  // namespace
}  // namespace masbak::trainer

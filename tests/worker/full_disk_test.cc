// masbak-worker on a disk without room: one line that says so, exit status 1, and nothing half-written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "base/document.h"
#include "base/durable_file.h"
#include "tests/base/small_disk.h"
#include "tests/base/temporary_folder.h"
#include "tests/worker/run_worker.h"

namespace masbak::worker {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class FullDisk : public ::testing::Test {
 protected:
  void SetUp() override {
    base::SmallDisk::make_mounts_private();
    setenv("OMP_NUM_THREADS", "1", 0);
    ASSERT_EQ(adopt(folder / "model").exit.status, 0);
    std::string rows;
    for (const char* letter : {"a", "b", "c", "d"}) {
      rows += base::Json{{"messages",
                          {{{"role", "user"}, {"content", std::string(letter) + "?"}},
                           {{"role", "assistant"}, {"content", letter}}}}}
                  .dump() +
              "\n";
    }
    base::write_file_durably(folder / "train.jsonl", rows);
    base::write_file_durably(folder / "run.yaml",
                             "model: model\ndataset: {train: train.jsonl}\nadapter: {r: 8, target_modules: [attention, "
                             "experts]}\ntraining: {max_length: 64, max_steps: 4, save_steps: 1}\n");
    std::filesystem::create_directories(folder / "disk");
  }
  base::Output adopt(const std::filesystem::path& out) {
    return run_worker({"adopt", tiny_gguf(), "--family", "deepseek_v3", "--experts", "4", "--top-k", "2", "--shared",
                       "64", "--out", out.string()});
  }
  base::Output train(const std::filesystem::path& job) {
    return run_worker({"train", (folder / "run.yaml").string(), "--out", job.string()});
  }
  static void expect_one_line(const base::Output& output) {
    EXPECT_EQ(output.exit.status, 1) << output.err;
    const size_t last = output.err.rfind("error: ");
    ASSERT_NE(last, std::string::npos) << output.err;
    const std::string line = output.err.substr(last);
    EXPECT_THAT(line, StartsWith("error: RESOURCE_EXHAUSTED: "));
    EXPECT_THAT(line, HasSubstr("free space"));
    EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1) << line;
  }
  std::set<std::string> left() {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder / "disk")) {
      names.insert(entry.path().filename().string());
    }
    return names;
  }
  base::TemporaryFolder folder;
};

TEST_F(FullDisk, AdoptLeavesNothing) {
  const base::SmallDisk disk(folder / "disk", 48);
  if (!disk.mounted()) GTEST_SKIP() << "cannot mount a small file system (this needs root): " << disk.reason();
  expect_one_line(adopt(folder / "disk" / "model"));
  EXPECT_TRUE(left().empty());
}

TEST_F(FullDisk, MergeLeavesNothing) {
  ASSERT_EQ(train(folder / "job").exit.status, 0);
  const base::SmallDisk disk(folder / "disk", 48);
  if (!disk.mounted()) GTEST_SKIP() << "cannot mount a small file system (this needs root): " << disk.reason();
  expect_one_line(run_worker({"merge", (folder / "model").string(), (folder / "job" / "adapter").string(), "--out",
                              (folder / "disk" / "merged").string()}));
  EXPECT_TRUE(left().empty());
}

TEST_F(FullDisk, TrainingEndsAndGoesOnOnceThereIsRoom) {
  ASSERT_EQ(train(folder / "undisturbed").exit.status, 0);
  {
    const base::SmallDisk disk(folder / "disk", 8192);
    if (!disk.mounted()) GTEST_SKIP() << "cannot mount a small file system (this needs root): " << disk.reason();
    // Room for the events and not for a checkpoint.
    std::ofstream(folder / "disk" / "filler") << std::string(8160 << 10, 'x');
    expect_one_line(train(folder / "disk" / "job"));
    EXPECT_FALSE(std::filesystem::exists(folder / "disk" / "job" / "adapter"));
    EXPECT_TRUE(std::filesystem::is_empty(folder / "disk" / "job" / "checkpoints"));
    EXPECT_EQ(base::read_json(folder / "disk" / "job" / "result.json")["state"], "failed");
    std::filesystem::remove(folder / "disk" / "filler");
    const base::Output resumed =
        run_worker({"train", (folder / "run.yaml").string(), "--out", (folder / "disk" / "job").string(), "--resume"});
    ASSERT_EQ(resumed.exit.status, 0) << resumed.err;
    EXPECT_EQ(base::read_file(folder / "disk" / "job" / "adapter" / "adapter_model.safetensors"),
              base::read_file(folder / "undisturbed" / "adapter" / "adapter_model.safetensors"));
  }
}

}  // namespace
}  // namespace masbak::worker

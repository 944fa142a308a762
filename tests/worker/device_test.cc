// masbak-worker --device: what is said where a GPU cannot be had.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/durable_file.h"
#include "tests/base/temporary_folder.h"
#include "tests/worker/run_worker.h"

namespace masbak::worker {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class Device : public ::testing::Test {
 protected:
  void SetUp() override {
    const base::Output output = run_worker({"adopt", tiny_gguf(), "--family", "deepseek_v3", "--experts", "4",
                                            "--top-k", "2", "--shared", "64", "--out", model.string()});
    ASSERT_EQ(output.exit.status, 0) << output.err;
  }
  base::Output generate(const std::string& device) {
    return run_worker({"generate", model.string(), "--device", device, "--max-tokens", "2"}, "{\"ids\":[1,2,3]}\n");
  }
  base::TemporaryFolder temporary;
  std::filesystem::path model = temporary / "model";
};

TEST_F(Device, TheCpuIsTheDefault) {
  const base::Output named = generate("cpu");
  EXPECT_EQ(named.exit.status, 0) << named.err;
  EXPECT_EQ(named.out, run_worker({"generate", model.string(), "--max-tokens", "2"}, "{\"ids\":[1,2,3]}\n").out);
}

TEST_F(Device, AnUnknownNameIsRefused) {
  const base::Output output = generate("tpu");
  EXPECT_EQ(output.exit.status, 2);
  EXPECT_THAT(output.err, StartsWith("error: INVALID_ARGUMENT: expected device cpu, cuda or cuda:N, found \"tpu\""));
}

TEST_F(Device, WithoutADriverTheDriverIsAskedFor) {
  if (std::filesystem::exists("/proc/driver/nvidia/version")) GTEST_SKIP() << "this machine has NVIDIA's driver";
  const std::filesystem::path run = temporary / "run.yaml", data = temporary / "data.jsonl", job = temporary / "job";
  base::write_file_durably(data, "{\"input_ids\":[1,2,3],\"labels\":[1,2,3]}\n");
  base::write_file_durably(run, "model: " + model.string() + "\ndataset: {train: " + data.string() +
                                    ", format: tokens}\ntraining: {device: cuda}\n");
  for (const base::Output& output : {generate("cuda"), run_worker({"train", run.string(), "--out", job.string()})}) {
    EXPECT_EQ(output.exit.status, 2);
    EXPECT_THAT(output.err, StartsWith("error: FAILED_PRECONDITION: device cuda needs NVIDIA's driver"));
    EXPECT_EQ(output.out, "");
  }
  EXPECT_FALSE(std::filesystem::exists(job));
}

}  // namespace
}  // namespace masbak::worker

// masbak-worker inspect: the figures of a small model, and one line for each kind of bad folder.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/digest.h"
#include "base/document.h"
#include "base/durable_file.h"
#include "tests/base/temporary_folder.h"
#include "tests/worker/run_worker.h"

namespace masbak::worker {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class Inspect : public ::testing::Test {
 protected:
  void SetUp() override {
    const base::Output output = run_worker({"adopt", tiny_gguf(), "--family", "deepseek_v3", "--experts", "4",
                                            "--top-k", "2", "--shared", "64", "--out", model.string()});
    ASSERT_EQ(output.exit.status, 0) << output.err;
  }
  void refuse(const std::string& code, const std::string& message, const std::filesystem::path& folder) {
    const base::Output output = run_worker({"inspect", folder.string()});
    EXPECT_EQ(output.exit.status, 2);
    EXPECT_EQ(output.out, "");
    EXPECT_THAT(output.err, StartsWith("error: " + code + ": "));
    EXPECT_THAT(output.err, HasSubstr(message));
    EXPECT_EQ(std::count(output.err.begin(), output.err.end(), '\n'), 1) << output.err;
  }
  void change_config(const std::string& key, const base::Json& value) {
    base::Json config = base::read_json(model / "config.json");
    config[key] = value;
    base::write_file_durably(model / "config.json", config.dump());
  }
  base::TemporaryFolder temporary;
  std::filesystem::path model = temporary / "model";
};

TEST_F(Inspect, CountsWhatTheModelHolds) {
  const base::Output output = run_worker({"inspect", model.string()});
  ASSERT_EQ(output.exit.status, 0) << output.err;
  const base::Json found = base::parse_json(output.out);
  EXPECT_EQ(found["family"], "deepseek_v3");
  EXPECT_EQ(found["dtype"], "bfloat16");
  EXPECT_EQ(found["digest"], base::digest_folder(model));
  // By hand: D 32, F 96 = 64 shared + 32, H 4, K 8, latent 17, shared key 16, V 272, 2 layers, tied.
  const int64_t attention = 4 * (8 + 16) * 32 + (17 + 16) * (32 + 1) + 17 + 4 * 16 * 17 + 32 * 32 + 32;
  const int64_t expert = 3 * 32 * 32, router = 4 * 32, norms = 2 * 32, correction = 4;
  const int64_t outer = 272 * 32 + 32;
  const int64_t plain = outer + 2 * (attention + norms + router + 2 * expert + 4 * expert);
  EXPECT_EQ(found["parameters"].get<int64_t>(), plain + 2 * correction);
  EXPECT_LT(found["active_parameters"], found["parameters"]);
  EXPECT_EQ(found["kv_cache_bytes_per_token"], 2 * (17 + 16) * 2);  // layers, numbers, bytes
  EXPECT_NEAR(found["kv_cache_ratio_to_multi_head_attention"].get<double>(), 33.0 / (4 * (8 + 16 + 8)), 1e-9);
  EXPECT_EQ(found["weights_bytes"].get<int64_t>(), 2 * plain + 4 * 2 * correction);
}

TEST_F(Inspect, ADenseModel) {
  const std::string dense = (temporary / "dense").string();
  ASSERT_EQ(run_worker({"adopt", tiny_gguf(), "--family", "llama", "--dtype", "float32", "--out", dense}).exit.status,
            0);
  const base::Json found = base::parse_json(run_worker({"inspect", dense}).out);
  EXPECT_EQ(found["family"], "llama");
  EXPECT_EQ(found["dtype"], "float32");
  EXPECT_EQ(found["parameters"], 272 * 32 + 32 + 2 * (2 * 32 * 32 + 2 * 16 * 32 + 3 * 96 * 32 + 2 * 32));
  EXPECT_EQ(found["active_parameters"], found["parameters"]);
  EXPECT_EQ(found["kv_cache_bytes_per_token"], 2 * 2 * 16 * 4);
  EXPECT_EQ(found["kv_cache_ratio_to_multi_head_attention"], 0.5);
}

TEST_F(Inspect, NoFolderOrNoConfig) {
  refuse("NOT_FOUND", "nothing here", temporary / "nowhere");
  refuse("INVALID_ARGUMENT", "this is a file", model / "config.json");
  std::filesystem::remove(model / "config.json");
  refuse("NOT_FOUND", "config.json is missing", model);
}

TEST_F(Inspect, AnUnknownFamilyIsNamed) {
  change_config("architectures", {"ResNet"});
  change_config("model_type", "resnet");
  refuse("UNIMPLEMENTED", "resnet", model);
}

TEST_F(Inspect, ABrokenConfigSaysTheLine) {
  base::write_file_durably(model / "config.json", "{\n \"model_type\": \"llama\",\n oops\n}");
  refuse("INVALID_ARGUMENT", "config.json:3", model);
}

TEST_F(Inspect, AWrongShapeSaysBoth) {
  change_config("vocab_size", 300);
  refuse("INVALID_ARGUMENT", "expected [300, 32], found [272, 32]", model);
}

TEST_F(Inspect, AMissingTensorIsNamed) {
  change_config("n_routed_experts", 5);
  refuse("INVALID_ARGUMENT", "mlp.gate", model);  // the router has a row for each expert
  change_config("n_routed_experts", 4);
  change_config("num_hidden_layers", 3);
  refuse("NOT_FOUND", "model.layers.2.", model);
}

TEST_F(Inspect, ATruncatedFileIsRefused) {
  std::filesystem::resize_file(model / "model.safetensors",
                               std::filesystem::file_size(model / "model.safetensors") - 100);
  refuse("INVALID_ARGUMENT", "truncated", model);
  std::filesystem::resize_file(model / "model.safetensors", 5);
  refuse("INVALID_ARGUMENT", "5 bytes", model);
}

TEST_F(Inspect, AMissingShardIsNamed) {
  std::filesystem::rename(model / "model.safetensors", model / "model-00001-of-00002.safetensors");
  base::write_file_durably(model / "model.safetensors.index.json",
                           R"({"weight_map":{"model.norm.weight":"model-00001-of-00002.safetensors",)"
                           R"("lm_head.weight":"model-00002-of-00002.safetensors"}})");
  refuse("NOT_FOUND", "model-00002-of-00002.safetensors", model);
  std::filesystem::remove(model / "model.safetensors.index.json");
  refuse("NOT_FOUND", "model.safetensors", model);
}

}  // namespace
}  // namespace masbak::worker

// masbak-worker adopt on a tiny model: the folder it writes, and every way to refuse.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/document.h"
#include "base/durable_file.h"
#include "tests/base/temporary_folder.h"
#include "tests/worker/run_worker.h"

namespace masbak::worker {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class Adopt : public ::testing::Test {
 protected:
  base::Output adopt(const std::string& file, std::vector<std::string> options) {
    std::vector<std::string> arguments{"adopt", file, "--out", (folder / "out").string()};
    arguments.insert(arguments.end(), options.begin(), options.end());
    return run_worker(arguments);
  }
  // Refused with exit status 2 and one line that says `message`; and nothing is left behind.
  void refuse(const std::string& file, std::vector<std::string> options, const std::string& message) {
    const std::set<std::string> before = folder.entries();
    const base::Output output = adopt(file, std::move(options));
    EXPECT_EQ(output.exit.status, 2) << output.err;
    EXPECT_EQ(output.out, "");
    EXPECT_THAT(output.err, StartsWith("error: "));
    EXPECT_THAT(output.err, HasSubstr(message));
    EXPECT_EQ(std::count(output.err.begin(), output.err.end(), '\n'), 1) << output.err;
    EXPECT_EQ(folder.entries(), before);
  }
  // The tiny file with one text in its header replaced by another of the same length.
  std::string changed(const std::string& from, const std::string& to) {
    std::string bytes = base::read_file(tiny_gguf());
    const size_t at = bytes.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    bytes.replace(at, to.size(), to);
    base::write_file_durably(folder / "changed.gguf", bytes);
    return (folder / "changed.gguf").string();
  }
  base::TemporaryFolder folder;
  const std::vector<std::string> deepseek{"--family", "deepseek_v3", "--experts", "4",
                                          "--top-k",  "2",           "--shared",  "64"};
};

TEST_F(Adopt, DeepseekFolderIsWholeAndRepeatable) {
  const base::Output output = adopt(tiny_gguf(), deepseek);
  ASSERT_EQ(output.exit.status, 0) << output.err;
  EXPECT_EQ(base::parse_json(output.out)["family"], "deepseek_v3");
  EXPECT_EQ(folder.entries(),
            (std::set<std::string>{"out", "out/config.json", "out/generation_config.json", "out/model.safetensors",
                                   "out/tokenizer.json", "out/tokenizer_config.json"}));
  const base::Json config = base::read_json(folder / "out/config.json");
  EXPECT_EQ(config["kv_lora_rank"], 17);
  EXPECT_EQ(config["moe_intermediate_size"], 32);
  EXPECT_EQ(config["n_shared_experts"], 2);
  EXPECT_EQ(config["dtype"], "bfloat16");
  EXPECT_EQ(config["rms_norm_eps"], 1e-5);
  const std::string weights = base::read_file(folder / "out/model.safetensors");
  std::filesystem::remove_all(folder / "out");
  ASSERT_EQ(adopt(tiny_gguf(), deepseek).exit.status, 0);
  EXPECT_EQ(base::read_file(folder / "out/model.safetensors"), weights);
  std::filesystem::remove_all(folder / "out");
  auto seeded = deepseek;
  seeded.insert(seeded.end(), {"--seed", "1"});
  ASSERT_EQ(adopt(tiny_gguf(), seeded).exit.status, 0);
  EXPECT_NE(base::read_file(folder / "out/model.safetensors"), weights);
}

TEST_F(Adopt, TheTokenizerIsRebuilt) {
  ASSERT_EQ(adopt(tiny_gguf(), {"--family", "llama", "--dtype", "float32"}).exit.status, 0);
  const base::Json tokenizer = base::read_json(folder / "out/tokenizer.json");
  EXPECT_EQ(tokenizer["model"]["vocab"].size(), 272u);
  EXPECT_EQ(tokenizer["model"]["vocab"]["<|im_end|>"], 2);
  EXPECT_EQ(tokenizer["model"]["merges"][1], (base::Json{"h", "e"}));
  EXPECT_EQ(tokenizer["pre_tokenizer"]["pretokenizers"][0]["individual_digits"], true);
  EXPECT_EQ(tokenizer["added_tokens"].size(), 3u);
  const base::Json config = base::read_json(folder / "out/tokenizer_config.json");
  EXPECT_EQ(config["eos_token"], "<|im_end|>");
  EXPECT_THAT(config["chat_template"].get<std::string>(), HasSubstr("add_generation_prompt"));
}

TEST_F(Adopt, WrongOptionsAreRefused) {
  refuse(tiny_gguf(), {"--family", "lama"}, "--family");
  refuse(tiny_gguf(), {"--family", "llama", "--experts", "4"}, "--experts");
  refuse(tiny_gguf(), {"--family", "llama", "--dtype", "float16"}, "--dtype");
  refuse(tiny_gguf(), {}, "--family is required");
  refuse(tiny_gguf(), {"--family", "deepseek_v3", "--experts", "1", "--top-k", "1"}, "--experts");
  refuse(tiny_gguf(), {"--family", "deepseek_v3", "--top-k", "5"}, "--top-k");
  refuse(tiny_gguf(), {"--family", "deepseek_v3", "--top-k", "0"}, "--top-k");
  refuse(tiny_gguf(), {"--family", "deepseek_v3", "--shared", "50"}, "48, 64, 72, 80, 84, 88 can be shared");
  refuse(tiny_gguf(), {"--family", "deepseek_v3", "--shared", "0"}, "--shared");
  refuse(tiny_gguf(), {"--family", "deepseek_v3", "--shared", "96"}, "--shared");
  refuse(tiny_gguf(), {"--family", "deepseek_v3", "--shared", "many"}, "--shared");
}

TEST_F(Adopt, WrongFilesAreRefused) {
  refuse((folder / "nowhere.gguf").string(), {"--family", "llama"}, "NOT_FOUND");
  refuse((folder.path()).string(), {"--family", "llama"}, folder.path().string());
  refuse(changed("GGUF", "GGML"), {"--family", "llama"}, "GGUF");
  refuse(changed("llama", "qwen9"), {"--family", "llama"}, "qwen9");
  refuse(changed("smollm", "smallm"), {"--family", "llama"}, "tokenizer.ggml.pre");
  refuse(changed("blk.1.attn_q.weight", "blk.1.attn_q.weighs"), {"--family", "llama"}, "blk.1.attn_q.weight");
  refuse(changed("llama.embedding_length", "llama.embedding_lenght"), {"--family", "llama"}, "llama.embedding_length");
}

TEST_F(Adopt, ATruncatedFileIsRefused) {
  const std::string bytes = base::read_file(tiny_gguf());
  base::write_file_durably(folder / "cut.gguf", std::string_view(bytes).substr(0, bytes.size() - 1000));
  refuse((folder / "cut.gguf").string(), deepseek, "truncated");
}

TEST_F(Adopt, AFolderThatHoldsSomethingIsNotTouched) {
  base::write_file_durably(folder / "out/mine.txt", "mine");
  const base::Output output = adopt(tiny_gguf(), deepseek);
  EXPECT_EQ(output.exit.status, 2);
  EXPECT_THAT(output.err, StartsWith("error: ALREADY_EXISTS"));
  EXPECT_EQ(folder.entries(), (std::set<std::string>{"out", "out/mine.txt"}));
}

}  // namespace
}  // namespace masbak::worker

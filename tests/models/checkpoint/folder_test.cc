// The identity of a model folder: which files count, and that the cache never hides a change.
#include "models/checkpoint/folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/digest.h"
#include "base/durable_file.h"
#include "tests/base/temporary_folder.h"
#include "tests/base/thrown.h"

namespace masbak::models {
namespace {

using ::testing::HasSubstr;

class ModelFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    setenv("MASBAK_CACHE", (temporary / "cache").c_str(), 1);
    write("config.json", "{}");
    write("model.safetensors", "weights");
    write("chat_template.jinja", "x");
  }
  void write(const std::string& name, const std::string& bytes) {
    base::write_file_durably(folder / name, bytes);
    // Long settled, so that the digest may be remembered.
    std::filesystem::last_write_time(folder / name,
                                     std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
  }
  base::TemporaryFolder temporary;
  std::filesystem::path folder = temporary / "model";
};

TEST_F(ModelFolder, TheDigestIsThatOfItsFiles) {
  const std::string digest = model_digest(folder);
  EXPECT_EQ(digest, base::digest_folder(folder));
  write("README.md", "about");
  write(".hidden.json", "{}");
  EXPECT_EQ(model_digest(folder), digest);
  write("generation_config.json", "{}");
  EXPECT_NE(model_digest(folder), digest);
}

TEST_F(ModelFolder, TheCacheSeesAChange) {
  const std::string digest = model_digest(folder);
  EXPECT_FALSE(std::filesystem::is_empty(temporary / "cache" / "digests"));
  EXPECT_EQ(model_digest(folder), digest);
  write("model.safetensors", "wEights");  // the same size
  const std::string changed = model_digest(folder);
  EXPECT_NE(changed, digest);
  EXPECT_EQ(changed, base::digest_folder(folder));
}

TEST_F(ModelFolder, TheCacheIsUsed) {
  const std::string digest = model_digest(folder);
  // A wrong digest put into the cache comes out: the file itself was not read again.
  const std::string wrong = base::digest_bytes("something else");
  for (const auto& entry : std::filesystem::directory_iterator(temporary / "cache" / "digests")) {
    base::Json cached = base::read_json(entry.path());
    cached["digest"] = wrong;
    base::write_file_durably(entry.path(), cached.dump());
  }
  EXPECT_NE(model_digest(folder), digest);
}

TEST_F(ModelFolder, ADamagedCacheCostsOnlyTime) {
  const std::string digest = model_digest(folder);
  for (const auto& entry : std::filesystem::directory_iterator(temporary / "cache" / "digests")) {
    base::write_file_durably(entry.path(), "{\"file\":");
  }
  EXPECT_EQ(model_digest(folder), digest);
}

TEST_F(ModelFolder, WithoutConfigTheErrorSaysWhatBelongsThere) {
  EXPECT_TRUE(read_model_config(folder).json().is_object());
  std::filesystem::remove(folder / "config.json");
  const base::Error missing = base::thrown([&] { read_model_config(folder); });
  EXPECT_EQ(missing.code(), base::Code::kNotFound);
  EXPECT_THAT(missing.what(), HasSubstr("config.json"));
  const base::Error file = base::thrown([&] { read_model_config(folder / "model.safetensors"); });
  EXPECT_EQ(file.code(), base::Code::kInvalidArgument);
  const base::Error nothing = base::thrown([&] { model_digest(temporary / "nowhere"); });
  EXPECT_EQ(nothing.code(), base::Code::kNotFound);
}

}  // namespace
}  // namespace masbak::models

#include "base/digest.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "base/durable_file.h"
#include "base/process.h"
#include "tests/base/temporary_folder.h"
#include "tests/base/thrown.h"

namespace masbak::base {
namespace {

namespace fs = std::filesystem;

// FIPS 180-4 examples (NIST), and the four SHA-256 vectors of RFC 6234, section 8.5.
TEST(Sha256, GivesThePublishedDigests) {
  EXPECT_EQ(digest_bytes(""), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(digest_bytes("abc"), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(digest_bytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "sha256:248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(digest_bytes(std::string(1000000, 'a')),
            "sha256:cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  std::string eighty;
  for (int i = 0; i < 80; ++i) eighty += "01234567";
  EXPECT_EQ(digest_bytes(eighty), "sha256:594847328451bdfa85056225462cc1d867d877fb388df0ce35f25ab5562bfbb5");
}

TEST(Sha256, DoesNotDependOnThePieces) {
  const std::string text(100003, 'x');
  for (const size_t step : {1, 63, 64, 65, 4096}) {
    Sha256 sha;
    for (size_t at = 0; at < text.size(); at += step) sha.update(std::string_view(text).substr(at, step));
    EXPECT_EQ(sha.finish(), digest_bytes(text)) << step;
  }
}

TEST(Sha256, IsSpentAfterFinish) {
  Sha256 sha;
  sha.finish();
  EXPECT_EQ(thrown([&] { sha.update("x"); }).code(), Code::kInternal);
  EXPECT_EQ(thrown([&] { sha.finish(); }).code(), Code::kInternal);
}

TEST(DigestFile, ReadsInPiecesAndNamesAMissingFile) {
  const TemporaryFolder folder;
  const std::string large(3 * 1024 * 1024 + 17, 'q');
  write_file_durably(folder / "large", large);
  EXPECT_EQ(digest_file(folder / "large"), digest_bytes(large));
  const Error missing = thrown([&] { digest_file(folder / "none"); });
  EXPECT_EQ(missing.code(), Code::kNotFound);
  EXPECT_EQ(missing.where().file, folder / "none");
  EXPECT_EQ(thrown([&] { digest_file(folder.path()); }).code(), Code::kInvalidArgument);
}

TEST(DigestFolder, CanBeRepeatedWithSha256sum) {
  const TemporaryFolder folder;
  write_file_durably(folder / "b.txt", "two");
  write_file_durably(folder / "a/z.txt", "one");
  write_file_durably(folder / "a.txt", "three");
  write_file_durably(folder / "Größe.txt", "four");
  write_file_durably(folder / ".hidden", "not counted");
  write_file_durably(folder / ".cache/x", "not counted");
  const std::string expected = digest_folder(folder.path());
  const Output output = run_process(
      {.argv = {"sh", "-c",
                "find . -type f -not -path '*/.*' -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"},
       .working_directory = folder.path()});
  ASSERT_TRUE(output.exit.ok()) << output.err;
  EXPECT_EQ(expected, "sha256:" + output.out.substr(0, 64));
}

TEST(DigestFolder, ChangesWithContentAndNameButNotWithHiddenFiles) {
  const TemporaryFolder folder;
  write_file_durably(folder / "a", "1");
  const std::string before = digest_folder(folder.path());
  write_file_durably(folder / ".lock", "x");
  EXPECT_EQ(digest_folder(folder.path()), before);
  write_file_durably(folder / "a", "2");
  const std::string changed = digest_folder(folder.path());
  EXPECT_NE(changed, before);
  fs::rename(folder / "a", folder / "b");
  EXPECT_NE(digest_folder(folder.path()), changed);
}

TEST(DigestFolder, FollowsLinksButNotInCircles) {
  const TemporaryFolder folder, elsewhere;
  write_file_durably(elsewhere / "blob", "content");
  write_file_durably(folder / "model", "content");
  const std::string plain = digest_folder(folder.path());
  fs::remove(folder / "model");
  fs::create_symlink(elsewhere / "blob", folder / "model");
  EXPECT_EQ(digest_folder(folder.path()), plain);
  fs::create_directory_symlink(folder.path(), folder / "loop");
  EXPECT_EQ(thrown([&] { digest_folder(folder.path()); }).code(), Code::kInvalidArgument);
  fs::remove(folder / "loop");
  fs::create_symlink(elsewhere / "gone", folder / "broken");
  EXPECT_EQ(thrown([&] { digest_folder(folder.path()); }).code(), Code::kNotFound);
}

TEST(IsDigest, TakesExactlyOneForm) {
  const std::string good = digest_bytes("x");
  EXPECT_TRUE(is_digest(good));
  EXPECT_FALSE(is_digest(good.substr(7)));
  EXPECT_FALSE(is_digest(good + "0"));
  EXPECT_FALSE(is_digest(good.substr(0, 70)));
  EXPECT_FALSE(is_digest("sha256:" + std::string(64, 'A')));
  EXPECT_FALSE(is_digest("sha512:" + std::string(64, 'a')));
  EXPECT_FALSE(is_digest(""));
}

}  // namespace
}  // namespace masbak::base

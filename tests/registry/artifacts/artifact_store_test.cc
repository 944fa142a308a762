#include "registry/artifacts/artifact_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <random>

#include "base/digest.h"
#include "base/durable_file.h"
#include "base/error.h"
#include "registry/artifacts/tar.h"
#include "tests/base/small_disk.h"
#include "tests/registry/private_postgres.h"

namespace masbak::registry {
namespace {

namespace fs = std::filesystem;
using base::Code;

template <typename Work>
Code code_of(const Work& work) {
  try {
    work();
  } catch (const base::Error& error) {
    return error.code();
  }
  return Code{};
}

class ArtifactsTest : public ::testing::Test {
 protected:
  fs::path write(const std::string& name, const std::string& bytes) {
    const fs::path file = folder.path() / name;
    fs::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << bytes;
    return file;
  }
  size_t temporaries() {
    return std::distance(fs::directory_iterator(folder.path() / "store" / "incoming"), fs::directory_iterator());
  }

  TemporaryFolder folder;
  ArtifactStore store{folder.path() / "store"};
};

TEST_F(ArtifactsTest, AFullDiskLeavesNothingHalfStored) {
  const std::string small = store.put_bytes("kept");
  fs::create_directories(folder.path() / "disk");
  const base::SmallDisk disk(folder.path() / "disk");
  if (!disk.mounted()) GTEST_SKIP() << "cannot mount a small file system (this needs root): " << disk.reason();
  ArtifactStore full{folder.path() / "disk" / "store"};
  full.put_bytes("kept");
  EXPECT_EQ(code_of([&] { full.put_bytes(std::string(1 << 20, 'x')); }), Code::kResourceExhausted);
  const fs::path large = write("large", std::string(1 << 20, 'y'));
  EXPECT_EQ(code_of([&] { full.put_file(large); }), Code::kResourceExhausted);
  EXPECT_THAT(full.list(), ::testing::ElementsAre(small));
  EXPECT_TRUE(fs::is_empty(folder.path() / "disk" / "store" / "incoming"));
}

TEST_F(ArtifactsTest, BytesComeBackByTheirDigest) {
  const std::string bytes("\0 binary \xff", 10);
  const std::string digest = store.put_bytes(bytes);
  EXPECT_EQ(digest, base::digest_bytes(bytes));
  EXPECT_EQ(store.put_bytes(bytes), digest);
  EXPECT_TRUE(store.has(digest));
  EXPECT_EQ(store.read(digest), bytes);
  EXPECT_EQ(store.size_bytes(digest), 10);
  EXPECT_EQ(store.put_file(write("file", "text")), base::digest_bytes("text"));
  EXPECT_THAT(store.list(), ::testing::UnorderedElementsAre(digest, base::digest_bytes("text")));
  EXPECT_EQ(temporaries(), 0u);
  store.remove(digest);
  EXPECT_FALSE(store.has(digest));
}

TEST_F(ArtifactsTest, MissingAndMalformedDigests) {
  EXPECT_EQ(code_of([&] { store.path(base::digest_bytes("none")); }), Code::kNotFound);
  EXPECT_EQ(code_of([&] { store.verify(base::digest_bytes("none")); }), Code::kNotFound);
  EXPECT_EQ(code_of([&] { store.path("sha256:../../etc/passwd"); }), Code::kInvalidArgument);
  EXPECT_EQ(code_of([&] { store.put_file(folder.path() / "none"); }), Code::kNotFound);
  EXPECT_EQ(temporaries(), 0u);
}

TEST_F(ArtifactsTest, UploadInPiecesIsWholeOrNotThere) {
  {
    ArtifactStore::Upload upload = store.upload();
    upload.write("half");
    EXPECT_EQ(temporaries(), 1u);
  }
  EXPECT_EQ(temporaries(), 0u);
  ArtifactStore::Upload wrong = store.upload();
  wrong.write("other bytes");
  EXPECT_EQ(code_of([&] { wrong.commit(base::digest_bytes("expected")); }), Code::kDataLoss);
  EXPECT_THAT(store.list(), ::testing::IsEmpty());
  ArtifactStore::Upload right = store.upload();
  right.write("a");
  right.write("b");
  EXPECT_EQ(right.size_bytes(), 2);
  EXPECT_EQ(right.commit(base::digest_bytes("ab")), base::digest_bytes("ab"));
}

TEST_F(ArtifactsTest, EveryFlippedByteAndEveryCutIsDetected) {
  const std::string bytes = "the quick brown fox, twenty-nine";
  const std::string digest = store.put_bytes(bytes);
  const fs::path place = store.path(digest);
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] ^= 1;
    std::ofstream(place, std::ios::binary) << damaged;
    EXPECT_EQ(code_of([&] { store.verify(digest); }), Code::kDataLoss) << i;
    std::ofstream(place, std::ios::binary) << bytes.substr(0, i);
    EXPECT_EQ(code_of([&] { store.read(digest); }), Code::kDataLoss) << i;
  }
  store.put_bytes(bytes);  // repairs it
  EXPECT_NO_THROW(store.verify(digest));
}

TEST_F(ArtifactsTest, FolderOfTheStoreIsAFileOrFull) {
  write("plain", "");
  EXPECT_EQ(code_of([&] { ArtifactStore(folder.path() / "plain"); }), Code::kPermissionDenied);
}

TEST_F(ArtifactsTest, FolderIsPackedTheSameWayEverywhereAndUnpacked) {
  std::mt19937 random(7);
  std::string large(1500, '\0');
  for (char& c : large) c = static_cast<char>(random());
  const std::string long_name = std::string(80, 'd') + "/" + std::string(90, 'f') + "/\xd9\x85.txt";
  for (const char* copy : {"one", "two"}) {
    write(std::string(copy) + "/b.bin", large);
    write(std::string(copy) + "/a/empty", "");
    write(std::string(copy) + "/" + long_name, "deep");
    write(std::string(copy) + "/.hidden", copy);
  }
  fs::last_write_time(folder.path() / "two/b.bin", fs::file_time_type::clock::now() - std::chrono::hours(5));
  fs::permissions(folder.path() / "two/b.bin", fs::perms(0600));
  const std::string digest = store.put_folder(folder.path() / "one");
  EXPECT_EQ(store.put_folder(folder.path() / "two"), digest);
  unpack_tar(store.path(digest), folder.path() / "out");
  EXPECT_EQ(base::digest_folder(folder.path() / "out"), base::digest_folder(folder.path() / "one"));
  EXPECT_EQ(base::read_file(folder.path() / "out" / long_name), "deep");
  EXPECT_EQ(code_of([&] { unpack_tar(store.path(digest), folder.path() / "out"); }), Code::kAlreadyExists);
}

TEST_F(ArtifactsTest, CutTarLeavesNothing) {
  write("in/a", std::string(700, 'x'));
  const std::string digest = store.put_folder(folder.path() / "in");
  const std::string tar = store.read(digest);
  for (size_t size = 0; size < tar.size() - 1024; size += 100) {
    const fs::path cut = write("cut.tar", tar.substr(0, size));
    EXPECT_EQ(code_of([&] { unpack_tar(cut, folder.path() / "out"); }), Code::kDataLoss) << size;
    EXPECT_FALSE(fs::exists(folder.path() / "out"));
  }
  std::string damaged = tar;
  damaged[3] ^= 1;
  EXPECT_EQ(code_of([&] { unpack_tar(write("bad.tar", damaged), folder.path() / "out"); }), Code::kDataLoss);
}

TEST_F(ArtifactsTest, TarOfAnotherProgramIsReadAndItsEscapesAreRefused) {
  write("in/sub/a", "hello");
  const std::string quoted = "'" + folder.path().string() + "'";
  ASSERT_EQ(std::system(("cd " + quoted +
                         " && tar --format=gnu -cf gnu.tar in && "
                         "tar --format=pax -cf escape.tar --transform='s,^in,../outside,' -P in && "
                         "ln -s /etc/passwd in/link && tar -cf link.tar in")
                            .c_str()),
            0);
  unpack_tar(folder.path() / "gnu.tar", folder.path() / "out");
  EXPECT_EQ(base::read_file(folder.path() / "out/in/sub/a"), "hello");
  EXPECT_EQ(code_of([&] { unpack_tar(folder.path() / "escape.tar", folder.path() / "o2"); }), Code::kInvalidArgument);
  EXPECT_EQ(code_of([&] { unpack_tar(folder.path() / "link.tar", folder.path() / "o3"); }), Code::kInvalidArgument);
  EXPECT_FALSE(fs::exists(folder.path() / "outside"));
}

}  // namespace
}  // namespace masbak::registry

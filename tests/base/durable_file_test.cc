#include "base/durable_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <set>
#include <string>

#include "tests/base/small_disk.h"
#include "tests/base/temporary_folder.h"
#include "tests/base/thrown.h"

namespace masbak::base {
namespace {

namespace fs = std::filesystem;
using Names = std::set<std::string>;

TEST(ReadFile, ReadsBytesAsTheyAre) {
  const TemporaryFolder folder;
  const std::string bytes("a\0b\r\n\xff", 6);
  write_file_durably(folder / "f", bytes);
  EXPECT_EQ(read_file(folder / "f"), bytes);
  write_file_durably(folder / "empty", "");
  EXPECT_EQ(read_file(folder / "empty"), "");
  EXPECT_FALSE(read_file("/proc/self/status").empty());
}

TEST(ReadFile, NamesWhatIsMissing) {
  const Error missing = thrown([] { read_file("/nowhere/at/all"); });
  EXPECT_EQ(missing.code(), Code::kNotFound);
  EXPECT_EQ(missing.where().file, "/nowhere/at/all");
  EXPECT_EQ(thrown([] { read_file("/tmp"); }).code(), Code::kInvalidArgument);
}

TEST(WriteFileDurably, ReplacesTheOldFileAndLeavesNothingBeside) {
  const TemporaryFolder folder;
  write_file_durably(folder / "new/parents/f", "one");
  write_file_durably(folder / "new/parents/f", "two");
  EXPECT_EQ(read_file(folder / "new/parents/f"), "two");
  EXPECT_EQ(folder.entries(), (Names{"new", "new/parents", "new/parents/f"}));
}

TEST(WriteFileDurably, RespectsTheUmask) {
  const TemporaryFolder folder;
  const mode_t before = ::umask(027);
  write_file_durably(folder / "f", "x");
  ::umask(before);
  struct stat status {};
  ASSERT_EQ(::stat((folder / "f").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0640u);
}

TEST(WriteFileDurably, RefusesAFolderAndAPathThroughAFile) {
  const TemporaryFolder folder;
  write_file_durably(folder / "f", "x");
  EXPECT_EQ(thrown([&] { write_file_durably(folder.path(), "y"); }).code(), Code::kInvalidArgument);
  EXPECT_EQ(thrown([&] { write_file_durably(folder / "f/g", "y"); }).code(), Code::kInvalidArgument);
  EXPECT_EQ(folder.entries(), (Names{"f"}));
}

TEST(WriteFileDurably, OnAFullDiskKeepsTheOldFileAndNoRemains) {
  const TemporaryFolder folder;
  const SmallDisk disk(folder.path());
  if (!disk.mounted()) GTEST_SKIP() << "cannot mount a small file system (this needs root): " << disk.reason();
  write_file_durably(folder / "f", "old");
  const Error error = thrown([&] { write_file_durably(folder / "f", std::string(1 << 20, 'x')); });
  EXPECT_EQ(error.code(), Code::kResourceExhausted);
  EXPECT_EQ(error.exit_status(), 1);
  EXPECT_NE(error.describe().find("free space"), std::string::npos);
  EXPECT_EQ(read_file(folder / "f"), "old");
  EXPECT_EQ(thrown([&] { write_file_durably(folder / "a/b/g", std::string(1 << 20, 'x')); }).code(),
            Code::kResourceExhausted);
  EXPECT_EQ(folder.entries(), (Names{"f"}));

  const std::string line(1000, 'l');
  LineAppender lines(folder / "events.jsonl");
  int whole = 0;
  const Error full = thrown([&] {
    for (; whole < 1000; ++whole) lines.append(line);
  });
  EXPECT_EQ(full.code(), Code::kResourceExhausted);
  EXPECT_EQ(read_file(folder / "events.jsonl").size(), static_cast<size_t>(whole) * 1001);
}

TEST(DurableWriter, ShowsNothingUntilCommit) {
  const TemporaryFolder folder;
  {
    DurableWriter writer(folder / "sub/f");
    writer.write("lost");
    EXPECT_FALSE(fs::exists(folder / "sub/f"));
  }
  EXPECT_TRUE(folder.entries().empty());
  DurableWriter writer(folder / "f");
  std::string expected;
  for (int i = 0; i < 50; ++i) {
    const std::string piece(static_cast<size_t>(i) * 1000, static_cast<char>('a' + i % 26));
    writer.write(piece);
    expected += piece;
  }
  writer.commit();
  EXPECT_EQ(read_file(folder / "f"), expected);
  EXPECT_EQ(thrown([&] { writer.write("more"); }).code(), Code::kFailedPrecondition);
  EXPECT_EQ(thrown([&] { writer.commit(); }).code(), Code::kFailedPrecondition);
  EXPECT_EQ(folder.entries(), (Names{"f"}));
}

TEST(DurableFolder, AppearsWholeOrNotAtAll) {
  const TemporaryFolder folder;
  {
    DurableFolder lost(folder / "new/parent/out/");
    write_file_durably(lost.path() / "deep/f", "x");
  }
  EXPECT_TRUE(folder.entries().empty());
  DurableFolder kept(folder / "out/");
  write_file_durably(kept.path() / "deep/f", "x");
  EXPECT_FALSE(fs::exists(folder / "out"));
  kept.commit();
  EXPECT_EQ(folder.entries(), (Names{"out", "out/deep", "out/deep/f"}));
  EXPECT_EQ(thrown([&] { kept.commit(); }).code(), Code::kFailedPrecondition);
}

TEST(DurableFolder, LeavesNothingWhenTheWorkThrows) {
  const TemporaryFolder folder;
  const Error error = thrown([&] {
    DurableFolder out(folder / "out");
    write_file_durably(out.path() / "f", "x");
    fail_input("the work failed");
  });
  EXPECT_STREQ(error.what(), "the work failed");
  EXPECT_TRUE(folder.entries().empty());
}

TEST(DurableFolder, TakesAnEmptyFolderAndRefusesAnOccupiedPlace) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "empty");
  DurableFolder out(folder / "empty");
  write_file_durably(out.path() / "f", "x");
  out.commit();
  EXPECT_EQ(thrown([&] { DurableFolder again(folder / "empty"); }).code(), Code::kAlreadyExists);
  EXPECT_EQ(thrown([&] { DurableFolder file(folder / "empty/f"); }).code(), Code::kAlreadyExists);
  EXPECT_EQ(read_file(folder / "empty/f"), "x");
  EXPECT_EQ(folder.entries(), (Names{"empty", "empty/f"}));
}

TEST(DurableFolder, DoesNotReplaceWhatAppearedMeanwhile) {
  const TemporaryFolder folder;
  {
    DurableFolder out(folder / "out");
    write_file_durably(out.path() / "f", "mine");
    write_file_durably(folder / "out/f", "theirs");
    EXPECT_EQ(thrown([&] { out.commit(); }).code(), Code::kAlreadyExists);
  }
  EXPECT_EQ(read_file(folder / "out/f"), "theirs");
  EXPECT_EQ(folder.entries(), (Names{"out", "out/f"}));
}

TEST(LineAppender, AppendsToWhatIsThere) {
  const TemporaryFolder folder;
  {
    LineAppender lines(folder / "job/events.jsonl");
    lines.append("one");
    lines.append("two", true);
  }
  LineAppender lines(folder / "job/events.jsonl");
  lines.append("three");
  EXPECT_EQ(read_file(folder / "job/events.jsonl"), "one\ntwo\nthree\n");
  EXPECT_EQ(thrown([&] { lines.append("a\nb"); }).code(), Code::kInternal);
}

TEST(LineAppender, RemovesALineTornByACrash) {
  const TemporaryFolder folder;
  write_file_durably(folder / "f", "one\n" + std::string(10000, 't'));
  LineAppender(folder / "f").append("two");
  EXPECT_EQ(read_file(folder / "f"), "one\ntwo\n");
  write_file_durably(folder / "g", std::string(5000, 't'));
  LineAppender(folder / "g").append("two");
  EXPECT_EQ(read_file(folder / "g"), "two\n");
}

TEST(LineAppender, ReportsADeviceThatIsFull) {
  LineAppender full("/dev/full");
  EXPECT_EQ(thrown([&] { full.append("x"); }).code(), Code::kResourceExhausted);
}

TEST(LineAppender, RemovesALineTornSinceItWasOpened) {
  const TemporaryFolder folder;
  LineAppender lines(folder / "f");
  lines.append("one");
  const int other = ::open((folder / "f").c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  ASSERT_GE(other, 0);
  ASSERT_EQ(::write(other, "torn", 4), 4);
  ::close(other);
  lines.append("two");
  EXPECT_EQ(read_file(folder / "f"), "one\ntwo\n");
}

// Files are opened while others write: a line that is half there must not be taken for a torn one. One round shows the
// lack of a lock in about one run of eight.
TEST(LineAppender, KeepsLinesWholeAmongProcesses) {
  for (int round = 0; round < 20; ++round) {
    const TemporaryFolder folder;
    for (int child = 0; child < 4; ++child) {
      if (::fork() != 0) continue;
      for (int part = 0; part < 5; ++part) {
        LineAppender lines(folder / "f");
        for (int i = 0; i < 100; ++i) lines.append(std::string(100, static_cast<char>('a' + child)));
      }
      ::_exit(0);
    }
    while (::wait(nullptr) > 0) {
    }
    const std::string text = read_file(folder / "f");
    ASSERT_EQ(text.size(), 4u * 500 * 101);
    std::array<int, 4> lines{};
    for (size_t at = 0; at < text.size(); at += 101) {
      ASSERT_EQ(text.substr(at, 101), std::string(100, text[at]) + "\n");
      ++lines.at(static_cast<size_t>(text[at] - 'a'));
    }
    EXPECT_EQ(lines, (std::array<int, 4>{500, 500, 500, 500}));
  }
}

TEST(MappedFile, ShowsTheBytesAndTakesEmptyFiles) {
  const TemporaryFolder folder;
  write_file_durably(folder / "f", "weights");
  write_file_durably(folder / "empty", "");
  EXPECT_EQ(MappedFile(folder / "f").bytes(), "weights");
  EXPECT_EQ(MappedFile(folder / "empty").bytes(), "");
  EXPECT_EQ(thrown([&] { MappedFile missing(folder / "none"); }).code(), Code::kNotFound);
  EXPECT_EQ(thrown([&] { MappedFile not_a_file(folder.path()); }).code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace masbak::base

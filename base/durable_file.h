// Files that are either whole or not there, also after a crash.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace masbak::base {

// Reads a whole file. NOT_FOUND names the path.
std::string read_file(const std::filesystem::path& file);

// Write to a temporary name beside it, fsync, rename, fsync the folder. On any fault the temporary
// file is removed, the old file is untouched, and an Error says what failed (a full disk:
// RESOURCE_EXHAUSTED). Creates missing parent folders.
void write_file_durably(const std::filesystem::path& file, std::string_view bytes);

// The same for large content written in pieces. Nothing appears under `file` unless commit() returns.
class DurableWriter {
 public:
  explicit DurableWriter(const std::filesystem::path& file);
  ~DurableWriter();  // without commit: the temporary file is removed
  DurableWriter(const DurableWriter&) = delete;
  DurableWriter& operator=(const DurableWriter&) = delete;
  void write(std::string_view bytes);
  void commit();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// A folder that appears whole: write into path(), then commit() renames it to `folder` (which must
// not exist, or must be an empty folder; ALREADY_EXISTS otherwise, checked at construction). Without
// commit everything is removed.
class DurableFolder {
 public:
  explicit DurableFolder(const std::filesystem::path& folder);
  ~DurableFolder();
  DurableFolder(const DurableFolder&) = delete;
  DurableFolder& operator=(const DurableFolder&) = delete;
  const std::filesystem::path& path() const { return temporary_; }
  void commit();

 private:
  std::filesystem::path folder_, temporary_;
  std::vector<std::filesystem::path> made_folders_;  // parents created here, removed without commit
  bool committed_ = false;
};

// Appends lines to a file that other processes read while it grows, and may append to in the same way: each line is
// written alone (flock) and, on request, flushed to disk. A last line without its line break, torn by a crash, is
// removed before the next. What is written by other means is not kept apart. Used for events.jsonl.
class LineAppender {
 public:
  explicit LineAppender(const std::filesystem::path& file);
  ~LineAppender();
  LineAppender(const LineAppender&) = delete;
  LineAppender& operator=(const LineAppender&) = delete;
  void append(std::string_view line, bool sync = false);

 private:
  int fd_ = -1;
  std::string file_;
};

void fsync_path(const std::filesystem::path& file_or_folder);

// A read-only memory map of a whole file, shared between processes. Empty files map to nothing.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& file);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  std::string_view bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  const char* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace masbak::base

// The bytes of a data file, one piece after another: plain or gzip-compressed, never as a whole.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace masbak::trainer {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Fills `buffer` as far as there are bytes; 0 at the end. DATA_LOSS if compressed data is damaged.
  virtual size_t read(char* buffer, size_t capacity) = 0;
};

// Opens a file by what its first bytes say it is. NOT_FOUND; UNIMPLEMENTED, with the conversion that helps, for
// Parquet, Arrow, spreadsheets and the compressions that are not read; INVALID_ARGUMENT for UTF-16.
std::unique_ptr<ByteSource> open_bytes(const std::filesystem::path& file);

// A byte after the other, with a look at those to come and the number of the line.
class ByteStream {
 public:
  explicit ByteStream(std::unique_ptr<ByteSource> source);

  static constexpr int kEnd = -1;
  int peek() { return at_ < filled_ || fill() ? static_cast<unsigned char>(buffer_[at_]) : kEnd; }
  int get() {
    const int byte = peek();
    if (byte == kEnd) return kEnd;
    ++at_;
    if (byte == '\n') ++line_;
    return byte;
  }
  // Appends bytes up to the next line break to `text` and takes the break too; bytes past `limit` are dropped and
  // counted in `dropped`. False at the end of the data.
  bool get_line(std::string* text, size_t limit, size_t* dropped);
  // The first bytes of the data; only before anything was taken.
  std::string_view head();
  void skip(size_t bytes);
  int line() const { return line_; }  // of the byte to come, from 1

 private:
  bool fill();

  std::unique_ptr<ByteSource> source_;
  std::string buffer_;
  size_t at_ = 0, filled_ = 0;
  int line_ = 1;
};

}  // namespace masbak::trainer

#include "trainer/data/byte_source.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace masbak::trainer {
namespace {

namespace fs = std::filesystem;

constexpr size_t kBufferBytes = 1 << 20;
constexpr size_t kHeadBytes = 16;

class PlainFile final : public ByteSource {
 public:
  explicit PlainFile(const fs::path& file) : name_(file.string()) {
    fd_ = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd_ < 0) base::fail_errno("opening the file", name_);
    posix_fadvise(fd_, 0, 0, POSIX_FADV_SEQUENTIAL);
  }
  ~PlainFile() override { ::close(fd_); }
  PlainFile(const PlainFile&) = delete;
  PlainFile& operator=(const PlainFile&) = delete;

  size_t read(char* buffer, size_t capacity) override {
    for (;;) {
      const ssize_t got = ::read(fd_, buffer, capacity);
      if (got >= 0) return static_cast<size_t>(got);
      if (errno != EINTR) base::fail_errno("reading the file", name_);
    }
  }

 private:
  int fd_ = -1;
  std::string name_;
};

// One gzip member after another, as gzip itself writes them when files are joined (RFC 1952).
class GzipFile final : public ByteSource {
 public:
  explicit GzipFile(const fs::path& file) : name_(file.string()), gz_(gzopen(file.c_str(), "rbe")) {
    if (!gz_) base::fail_errno("opening the file", name_);
    gzbuffer(gz_, kBufferBytes);
  }
  ~GzipFile() override { gzclose_r(gz_); }
  GzipFile(const GzipFile&) = delete;
  GzipFile& operator=(const GzipFile&) = delete;

  size_t read(char* buffer, size_t capacity) override {
    const int got = gzread(gz_, buffer, static_cast<unsigned>(std::min<size_t>(capacity, 1u << 30)));
    int fault = Z_OK;
    const char* words = gzerror(gz_, &fault);
    // A stream that is cut off gives its last bytes without a fault, and Z_BUF_ERROR beside them.
    if (got < 0 || fault == Z_BUF_ERROR) {
      throw base::Error(base::Code::kDataLoss,
                        "the gzip data is damaged or cut off (" + std::string(words) + "); copy the file again",
                        {name_, 0, ""});
    }
    return static_cast<size_t>(got);
  }

 private:
  std::string name_;
  gzFile gz_ = nullptr;
};

struct ForeignFormat {
  std::string_view magic;
  const char* message;
};

constexpr std::array kForeign{
    ForeignFormat{"PAR1",
                  "Parquet is not read (no Parquet library is among the dependencies); write it as JSON Lines, for "
                  "example with Python: pandas.read_parquet(FILE).to_json(\"train.jsonl\", orient=\"records\", "
                  "lines=True)"},
    ForeignFormat{"ARROW1",
                  "Arrow files are not read; with the library datasets: "
                  "Dataset.from_file(FILE).to_json(\"train.jsonl\")"},
    ForeignFormat{"PK\x03\x04",
                  "ZIP files and spreadsheets (.xlsx) are not read; save the sheet as CSV (UTF-8), or "
                  "unpack the archive"},
    ForeignFormat{"\xd0\xcf\x11\xe0", "old spreadsheets (.xls) are not read; save the sheet as CSV (UTF-8)"},
    ForeignFormat{"\x28\xb5\x2f\xfd", "Zstandard is not read; unpack the file (zstd -d), or pack it by gzip"},
    ForeignFormat{"BZh", "bzip2 is not read; unpack the file (bunzip2), or pack it by gzip"},
    ForeignFormat{"\xfd"
                  "7zXZ",
                  "xz is not read; unpack the file (unxz), or pack it by gzip"},
    ForeignFormat{"SQLite format 3", "databases are not read; export the table as CSV"},
};

}  // namespace

std::unique_ptr<ByteSource> open_bytes(const fs::path& file) {
  if (fs::is_directory(file)) {
    base::fail_input("expected a data file, found a folder; name the file", {file.string(), 0, ""});
  }
  auto plain = std::make_unique<PlainFile>(file);
  std::array<char, kHeadBytes> bytes{};
  const std::string_view head(bytes.data(), plain->read(bytes.data(), bytes.size()));
  for (const ForeignFormat& foreign : kForeign) {
    if (head.starts_with(foreign.magic)) {
      throw base::Error(base::Code::kUnimplemented, foreign.message, {file.string(), 0, ""});
    }
  }
  if (head.starts_with("\xff\xfe") || head.starts_with("\xfe\xff")) {
    base::fail_input("expected UTF-8, found UTF-16; save the file as UTF-8", {file.string(), 0, ""});
  }
  if (head.starts_with("\x1f\x8b")) return std::make_unique<GzipFile>(file);
  return std::make_unique<PlainFile>(file);
}

ByteStream::ByteStream(std::unique_ptr<ByteSource> source) : source_(std::move(source)), buffer_(kBufferBytes, '\0') {}

bool ByteStream::fill() {
  at_ = 0;
  filled_ = source_->read(buffer_.data(), buffer_.size());
  return filled_ > 0;
}

bool ByteStream::get_line(std::string* text, size_t limit, size_t* dropped) {
  if (peek() == kEnd) return false;
  for (bool ended = false; !ended && peek() != kEnd;) {
    const char* from = buffer_.data() + at_;
    const auto* stop = static_cast<const char*>(std::memchr(from, '\n', filled_ - at_));
    ended = stop != nullptr;
    const size_t length = ended ? static_cast<size_t>(stop - from) : filled_ - at_;
    const size_t kept = std::min(length, limit - std::min(limit, text->size()));
    text->append(from, kept);
    *dropped += length - kept;
    at_ += length + (ended ? 1 : 0);
    line_ += ended ? 1 : 0;
  }
  return true;
}

std::string_view ByteStream::head() {
  if (at_ == filled_) fill();
  // A pipe or a compressed stream may give less than the buffer holds at first.
  while (filled_ < buffer_.size()) {
    const size_t more = source_->read(buffer_.data() + filled_, buffer_.size() - filled_);
    if (more == 0) break;
    filled_ += more;
  }
  return {buffer_.data() + at_, filled_ - at_};
}

void ByteStream::skip(size_t bytes) {
  for (; bytes > 0 && get() != kEnd; --bytes) {
  }
}

}  // namespace masbak::trainer

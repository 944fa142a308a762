#include "registry/artifacts/tar.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "base/durable_file.h"
#include "base/error.h"

namespace masbak::registry {
namespace {

namespace fs = std::filesystem;
using base::Code;
using base::Error;

constexpr size_t kBlock = 512;
constexpr size_t kNameSize = 100;
constexpr uint64_t kLargestOctalSize = 077777777777;  // 11 octal digits: 8 GiB less a byte

// A header block of ustar. Fields and their places: POSIX.1-2001, pax, "ustar Interchange Format".
struct Header {
  char name[kNameSize];
  char mode[8], uid[8], gid[8];
  char size[12], mtime[12];
  char checksum[8];
  char type;
  char link_name[100];
  char magic[6], version[2];
  char user[32], group[32];
  char device_major[8], device_minor[8];
  char prefix[155];
  char unused[12];
};
static_assert(sizeof(Header) == kBlock);

// The sum of all bytes, those of the sum itself taken as spaces.
unsigned checksum_of(const Header& header) {
  Header copy = header;
  std::memset(copy.checksum, ' ', sizeof copy.checksum);
  unsigned sum = 0;
  for (const unsigned char byte : std::string_view(reinterpret_cast<const char*>(&copy), kBlock)) sum += byte;
  return sum;
}

std::string make_header(const std::string& name, uint64_t size, char type) {
  Header header{};
  std::memcpy(header.name, name.data(), std::min(name.size(), kNameSize));
  std::snprintf(header.mode, sizeof header.mode, "%07o", 0644U);
  std::snprintf(header.uid, sizeof header.uid, "%07o", 0U);
  std::snprintf(header.gid, sizeof header.gid, "%07o", 0U);
  std::snprintf(header.size, sizeof header.size, "%011llo", static_cast<unsigned long long>(size));
  std::snprintf(header.mtime, sizeof header.mtime, "%011o", 0U);
  std::memcpy(header.magic, "ustar", 6);
  std::memcpy(header.version, "00", 2);
  header.type = type;
  std::snprintf(header.checksum, sizeof header.checksum, "%06o", checksum_of(header) & 0777777U);
  header.checksum[7] = ' ';
  return std::string(reinterpret_cast<const char*>(&header), kBlock);
}

std::string padding(uint64_t size) { return std::string((kBlock - size % kBlock) % kBlock, '\0'); }

// "LENGTH key=value\n", where LENGTH counts itself.
std::string pax_record(const std::string& key, const std::string& value) {
  const std::string rest = " " + key + "=" + value + "\n";
  size_t length = rest.size() + 1;
  while (std::to_string(length).size() + rest.size() != length) {
    length = std::to_string(length).size() + rest.size();
  }
  return std::to_string(length) + rest;
}

void gather(const fs::path& folder, const std::string& prefix, std::map<std::string, fs::path>& files) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with('.')) continue;
    if (entry.is_directory()) {
      if (std::count(prefix.begin(), prefix.end(), '/') > 100) {
        base::fail_input("the folders lie more than 100 deep, or a symbolic link leads back",
                         {.file = folder.string()});
      }
      gather(entry.path(), prefix + name + "/", files);
    } else if (entry.is_regular_file()) {
      files.emplace(prefix + name, entry.path());
    } else {
      base::fail_input("expected files and folders only, found something else, or a symbolic link that leads nowhere",
                       {.file = entry.path().string()});
    }
  }
}

void pack_file(const std::string& name, const fs::path& path, const std::function<void(std::string_view)>& sink) {
  const base::MappedFile file(path);
  const uint64_t size = file.bytes().size();
  std::string records;
  if (name.size() > kNameSize) records += pax_record("path", name);
  if (size > kLargestOctalSize) records += pax_record("size", std::to_string(size));
  if (!records.empty()) sink(make_header("pax", records.size(), 'x') + records + padding(records.size()));
  sink(make_header(name, size > kLargestOctalSize ? 0 : size, '0'));
  constexpr size_t kPiece = 1 << 20;
  for (size_t at = 0; at < size; at += kPiece) sink(file.bytes().substr(at, kPiece));
  if (const std::string rest = padding(size); !rest.empty()) sink(rest);
}

// Reads a tar from a mapped file, entry by entry.
class Unpacker {
 public:
  Unpacker(const base::MappedFile& tar, const fs::path& folder) : tar_(tar), folder_(folder) {}

  void run() {
    std::map<std::string, std::string> records;
    for (;;) {
      const std::string_view block = take(kBlock);
      if (block.find_first_not_of('\0') == std::string_view::npos) return;
      Header header;
      std::memcpy(&header, block.data(), kBlock);
      check(header);
      uint64_t size = octal(header.size, sizeof header.size);
      if (header.type == 'x' || header.type == 'g') {
        const auto found = parse_records(take_padded(size));
        if (header.type == 'x') records = found;
        continue;
      }
      if (records.count("size") != 0) size = decimal(records["size"]);
      const std::string name = records.count("path") != 0 ? records["path"] : name_of(header);
      records.clear();
      unpack(name, header.type, take_padded(size));
    }
  }

 private:
  [[noreturn]] void damaged(const std::string& what) const {
    throw Error(Code::kDataLoss, "the tar is damaged or cut off: " + what + " at byte " + std::to_string(at_),
                {.file = tar_.path().string()});
  }

  std::string_view take(uint64_t size) {
    if (size > tar_.bytes().size() - at_) {
      damaged("expected " + std::to_string(size) + " more bytes, found " + std::to_string(tar_.bytes().size() - at_));
    }
    const std::string_view piece = tar_.bytes().substr(at_, size);
    at_ += size;
    return piece;
  }

  std::string_view take_padded(uint64_t size) {
    const std::string_view piece = take(size);
    take(padding(size).size());
    return piece;
  }

  uint64_t octal(const char* field, size_t size) const {
    uint64_t value = 0;
    bool any = false;
    for (size_t i = 0; i < size && field[i] != '\0'; ++i) {
      if (field[i] == ' ') continue;
      if (field[i] < '0' || field[i] > '7') damaged("expected an octal number");
      value = value * 8 + static_cast<uint64_t>(field[i] - '0');
      any = true;
    }
    if (!any) damaged("expected an octal number, found none");
    return value;
  }

  uint64_t decimal(const std::string& text) const {
    if (text.empty() || text.size() > 18 || text.find_first_not_of("0123456789") != std::string::npos) {
      damaged("expected a size, found '" + text + "'");
    }
    return std::stoull(text);
  }

  void check(const Header& header) const {
    if (std::memcmp(header.magic, "ustar", 5) != 0) damaged("expected a header of the ustar format");
    if (octal(header.checksum, sizeof header.checksum) != checksum_of(header)) damaged("wrong checksum of the header");
  }

  static std::string name_of(const Header& header) {
    const std::string name(header.name, strnlen(header.name, sizeof header.name));
    const std::string prefix(header.prefix, strnlen(header.prefix, sizeof header.prefix));
    return prefix.empty() ? name : prefix + "/" + name;
  }

  std::map<std::string, std::string> parse_records(std::string_view text) const {
    std::map<std::string, std::string> records;
    while (!text.empty()) {
      const size_t space = text.find(' ');
      const uint64_t length = space == std::string_view::npos ? 0 : decimal(std::string(text.substr(0, space)));
      const size_t equals = text.find('=');
      if (length > text.size() || length < space + 3 || equals == std::string_view::npos || equals >= length) {
        damaged("expected a pax record");
      }
      records[std::string(text.substr(space + 1, equals - space - 1))] =
          std::string(text.substr(equals + 1, length - equals - 2));
      text.remove_prefix(length);
    }
    return records;
  }

  void unpack(const std::string& name, char type, std::string_view bytes) const {
    const fs::path relative(name);
    bool outside = name.empty() || relative.is_absolute() || name.find('\0') != std::string::npos;
    for (const fs::path& part : relative) outside = outside || part == "..";
    if (outside) {
      base::fail_input("the tar holds an entry named '" + name + "', which lies outside: it was not made by Masbak",
                       {.file = tar_.path().string()});
    }
    if (type == '5') {
      fs::create_directories(folder_ / relative);
    } else if (type == '0' || type == '\0') {
      const fs::path file = folder_ / relative;
      if (fs::exists(file)) {
        base::fail_input("the tar holds '" + name + "' twice", {.file = tar_.path().string()});
      }
      fs::create_directories(file.parent_path());
      std::ofstream out(file, std::ios::binary);
      out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
      out.close();
      if (!out) base::fail_errno("unpacking", file.string());
    } else {
      base::fail_input(
          "the tar holds '" + name + "', which is no plain file or folder (type '" + std::string(1, type) + "')",
          {.file = tar_.path().string()});
    }
  }

  const base::MappedFile& tar_;
  const fs::path& folder_;
  uint64_t at_ = 0;
};

}  // namespace

void pack_folder(const fs::path& folder, const std::function<void(std::string_view)>& sink) {
  if (!fs::is_directory(folder)) {
    throw Error(Code::kNotFound, "expected a folder to pack, found none", {.file = folder.string()});
  }
  std::map<std::string, fs::path> files;
  gather(folder, "", files);
  for (const auto& [name, path] : files) pack_file(name, path, sink);
  sink(std::string(2 * kBlock, '\0'));
}

void unpack_tar(const fs::path& tar, const fs::path& folder) {
  const base::MappedFile file(tar);
  base::DurableFolder target(folder);
  Unpacker(file, target.path()).run();
  target.commit();
}

}  // namespace masbak::registry

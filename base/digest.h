// SHA-256 content digests: the identity of every model, dataset, adapter, report and policy.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace masbak::base {

// Incremental SHA-256 (FIPS 180-4). Not thread-safe; one object a stream.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(std::string_view bytes);
  // "sha256:" and 64 hexadecimal digits. The object is spent afterwards.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// "sha256:…" of the bytes.
std::string digest_bytes(std::string_view bytes);

// "sha256:…" of a file's bytes, read in pieces. Throws NOT_FOUND, or what the system says.
std::string digest_file(const std::filesystem::path& file);

// The digest of a folder: SHA-256 over the lines "<digest of file>  <relative path>\n" in byte order
// of the paths, regular files only (symbolic links are followed), so `sha256sum` can repeat it.
// Hidden files (a name that starts with '.') are left out.
std::string digest_folder(const std::filesystem::path& folder);

// True for "sha256:" and 64 lower-case hexadecimal digits.
bool is_digest(std::string_view text);

}  // namespace masbak::base

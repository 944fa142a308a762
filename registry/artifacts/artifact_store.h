// Files by digest: datasets, adapters, reports, logs. A plain folder: sha256/ab/cdef….
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace masbak::registry {

// Thread-safe, also between processes. An artifact is whole or not there: it is written to a temporary file, synced
// and renamed. Putting what is there already changes nothing.
class ArtifactStore {
 public:
  // Creates the folder, and clears temporary files that a crash left more than an hour ago.
  explicit ArtifactStore(const std::filesystem::path& folder);

  // Each returns the digest. A full disk is RESOURCE_EXHAUSTED.
  std::string put_bytes(std::string_view bytes);
  std::string put_file(const std::filesystem::path& file);
  // The folder packed as a tar (tar.h): the same content gives the same digest.
  std::string put_folder(const std::filesystem::path& folder);

  // For bytes that come in pieces. Without commit nothing stays.
  class Upload {
   public:
    ~Upload();
    Upload(Upload&&) noexcept;
    void write(std::string_view bytes);
    int64_t size_bytes() const;
    // With `expected`: DATA_LOSS, and nothing stored, if the bytes have another digest.
    std::string commit(const std::string& expected = "");

   private:
    friend class ArtifactStore;
    struct State;
    explicit Upload(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
  };
  Upload upload();

  bool has(const std::string& digest) const;
  // Where the bytes lie, read-only. NOT_FOUND; INVALID_ARGUMENT if it is no digest.
  std::filesystem::path path(const std::string& digest) const;
  int64_t size_bytes(const std::string& digest) const;
  std::string read(const std::string& digest) const;
  // Calls `sink` with pieces of at most `piece_bytes`. DATA_LOSS at the end if the bytes have another digest.
  void stream(const std::string& digest, const std::function<void(std::string_view)>& sink,
              size_t piece_bytes = 1 << 20) const;
  // Hashes the bytes again: NOT_FOUND or DATA_LOSS, with both digests.
  void verify(const std::string& digest) const;
  void remove(const std::string& digest);
  std::vector<std::string> list() const;  // sorted

 private:
  std::filesystem::path locate(const std::string& digest) const;
  std::filesystem::path folder_;
};

}  // namespace masbak::registry

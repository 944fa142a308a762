// Makes sure that a base model on this node is the one that was registered.
#pragma once

#include <filesystem>
#include <map>
#include <mutex>
#include <string>

namespace masbak::services {

// Thread-safe. A digest once computed is remembered with the sizes and times of the files it was computed
// from, in `cache_file`, since hashing hundreds of gigabytes takes hours.
class BaseModels {
 public:
  BaseModels(std::filesystem::path worker, std::filesystem::path cache_file);

  // FAILED_PRECONDITION if the folder's digest (masbak-worker inspect) is another; NOT_FOUND if it is missing.
  void require(const std::filesystem::path& folder, const std::string& digest);

 private:
  std::string digest_of(const std::filesystem::path& folder);

  std::filesystem::path worker_, cache_file_;
  std::mutex mutex_;  // one inspection at a time: they are heavy
};

}  // namespace masbak::services

// A folder that is gone when its work is done.
#pragma once

#include <atomic>
#include <filesystem>
#include <string>

namespace masbak::services {

class ScratchFolder {
 public:
  explicit ScratchFolder(const std::filesystem::path& parent) {
    static std::atomic<int> count{0};
    path_ = parent / std::to_string(++count);
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~ScratchFolder() {
    std::error_code ignored;  // cleared again when the program starts
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace masbak::services

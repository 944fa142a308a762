// A file system of a few KiB over a folder, seen by this process and its children alone, so that nothing stays
// mounted after a crash. Needs root.
#pragma once

#include <sched.h>
#include <sys/mount.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>

namespace masbak::base {

class SmallDisk {
 public:
  explicit SmallDisk(const std::filesystem::path& at, int kibibytes = 64) : at_(at) {
    const std::string size = "size=" + std::to_string(kibibytes) + "k";
    mounted_ = make_mounts_private() && ::mount("tmpfs", at.c_str(), "tmpfs", 0, size.c_str()) == 0;
    if (!mounted_) reason_ = std::strerror(errno);
  }
  // Gives this thread, and all that it starts from now on, mounts of its own. Called by the constructor; a test whose
  // process has started other threads by then, such as the one that starts processes, calls it before.
  static bool make_mounts_private() {
    static const bool done =
        ::unshare(CLONE_NEWNS) == 0 && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
    return done;
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(at_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  bool mounted() const { return mounted_; }
  const std::string& reason() const { return reason_; }

 private:
  std::filesystem::path at_;
  bool mounted_ = false;
  std::string reason_;
};

}  // namespace masbak::base

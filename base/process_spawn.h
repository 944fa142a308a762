// The delicate part of starting a child: what happens between fork and exec. Used by process.cc.
#pragma once

#include <sys/types.h>

#include <utility>

#include "base/process.h"

namespace masbak::base {

// Owns one file descriptor; -1 is none.
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd = -1) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileDescriptor() { reset(); }
  int get() const { return fd_; }
  void reset();

 private:
  int fd_ = -1;
};

// The reading and the writing end, both closed on exec.
std::pair<FileDescriptor, FileDescriptor> make_pipe();

// Descriptors for the child; -1: /dev/null for the input, the option's file or the parent's for the others.
struct StandardStreams {
  int in = -1, out = -1, err = -1;
};

// Starts the child in a process group of its own and returns when it runs the program. A child that
// is to die with its parent is forked from a thread that lives as long as the process: the kernel
// sends PR_SET_PDEATHSIG when the *thread* that forked ends, and the caller's may end at any time.
pid_t spawn(const ProcessOptions& options, StandardStreams streams);

}  // namespace masbak::base

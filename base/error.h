// The one exception type of Masbak. Thrown where a fault is seen, caught once at each boundary:
// the gRPC handler wrapper, a program's main, the console's client.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace masbak::base {

// The numbers and names are gRPC's (google.rpc.Code), so that a code crosses the wire unchanged.
enum class Code {
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

// "INVALID_ARGUMENT" and so on.
std::string_view code_name(Code code);

// Where a fault was seen. Each part may be empty; line counts from 1, 0 means unknown.
struct Where {
  std::string file;
  int line = 0;
  std::string field;
};

// The message says what was expected, what was found and what to do, in one sentence or two,
// without a line break. `what()` returns the message alone; `describe()` the whole line.
class Error : public std::runtime_error {
 public:
  Error(Code code, const std::string& message, Where where = {});

  Code code() const { return code_; }
  const Where& where() const { return where_; }

  // "CODE: message (file:line, field)", always one line: the promise of the command line.
  std::string describe() const;

  // 2 for bad input or usage (INVALID_ARGUMENT, NOT_FOUND, OUT_OF_RANGE, FAILED_PRECONDITION,
  // ALREADY_EXISTS, UNIMPLEMENTED), 1 for anything else.
  int exit_status() const;

 private:
  Code code_;
  Where where_;
};

// For the commonest case.
[[noreturn]] void fail_input(const std::string& message, Where where = {});

// An Error for a failed system call, with errno's text; ENOSPC and EDQUOT become RESOURCE_EXHAUSTED
// with advice to free space, ENOENT NOT_FOUND, EACCES and EPERM PERMISSION_DENIED.
[[noreturn]] void fail_errno(const std::string& doing, const std::string& file);

}  // namespace masbak::base

#include "base/error.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/text.h"

namespace masbak::base {
namespace {

// The promise is one line of UTF-8: what a library reports or a file holds may be anything.
std::string one_line(const std::string& raw) {
  std::string text = with_valid_utf8(raw);
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

}  // namespace

std::string_view code_name(Code code) {
  switch (code) {
    case Code::kCancelled: return "CANCELLED";
    case Code::kUnknown: return "UNKNOWN";
    case Code::kInvalidArgument: return "INVALID_ARGUMENT";
    case Code::kDeadlineExceeded: return "DEADLINE_EXCEEDED";
    case Code::kNotFound: return "NOT_FOUND";
    case Code::kAlreadyExists: return "ALREADY_EXISTS";
    case Code::kPermissionDenied: return "PERMISSION_DENIED";
    case Code::kResourceExhausted: return "RESOURCE_EXHAUSTED";
    case Code::kFailedPrecondition: return "FAILED_PRECONDITION";
    case Code::kAborted: return "ABORTED";
    case Code::kOutOfRange: return "OUT_OF_RANGE";
    case Code::kUnimplemented: return "UNIMPLEMENTED";
    case Code::kInternal: return "INTERNAL";
    case Code::kUnavailable: return "UNAVAILABLE";
    case Code::kDataLoss: return "DATA_LOSS";
    case Code::kUnauthenticated: return "UNAUTHENTICATED";
  }
  return "UNKNOWN";
}

Error::Error(Code code, const std::string& message, Where where)
    : std::runtime_error(one_line(message)), code_(code), where_(std::move(where)) {}

std::string Error::describe() const {
  std::string place = where_.file;
  if (where_.line > 0) place += (place.empty() ? "line " : ":") + std::to_string(where_.line);
  if (!where_.field.empty()) place += (place.empty() ? "" : ", ") + where_.field;
  std::string text = std::string(code_name(code_)) + ": " + what();
  if (!place.empty()) text += " (" + place + ")";
  return one_line(text);
}

int Error::exit_status() const {
  switch (code_) {
    case Code::kInvalidArgument:
    case Code::kNotFound:
    case Code::kOutOfRange:
    case Code::kFailedPrecondition:
    case Code::kAlreadyExists:
    case Code::kUnimplemented: return 2;
    default: return 1;
  }
}

void fail_input(const std::string& message, Where where) {
  throw Error(Code::kInvalidArgument, message, std::move(where));
}

void fail_errno(const std::string& doing, const std::string& file) {
  const int number = errno;
  Code code = Code::kUnknown;
  std::string advice;
  switch (number) {
    case ENOSPC:
    case EDQUOT:
      code = Code::kResourceExhausted;
      advice = "; free space there, or choose a place with more, and try again";
      break;
    case EMFILE:
    case ENFILE:
      code = Code::kResourceExhausted;
      advice = "; raise the limit on open files (ulimit -n)";
      break;
    case ENOMEM:
    case EAGAIN: code = Code::kResourceExhausted; break;
    case ENOENT:
      code = Code::kNotFound;
      advice = "; check the path";
      break;
    case ENOTDIR:
    case EISDIR:
    case ENAMETOOLONG:
    case ELOOP:
      code = Code::kInvalidArgument;
      advice = "; check the path";
      break;
    case EEXIST: code = Code::kAlreadyExists; break;
    case EACCES:
    case EPERM:
    case EROFS:
      code = Code::kPermissionDenied;
      advice = "; check its owner and permissions";
      break;
    case EIO: code = Code::kDataLoss; break;
    default: break;
  }
  throw Error(code, doing + " failed: " + std::strerror(number) + advice, {.file = file});
}

}  // namespace masbak::base

#include "base/error.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "tests/base/thrown.h"

namespace masbak::base {
namespace {

TEST(Error, DescribesCodeMessageAndPlaceInOneLine) {
  const Error error(Code::kInvalidArgument, "expected a number, found a list", {"run.yaml", 7, "training.seed"});
  EXPECT_EQ(error.describe(), "INVALID_ARGUMENT: expected a number, found a list (run.yaml:7, training.seed)");
  EXPECT_STREQ(error.what(), "expected a number, found a list");
}

TEST(Error, LeavesOutThePartsOfThePlaceThatAreUnknown) {
  EXPECT_EQ(Error(Code::kInternal, "m").describe(), "INTERNAL: m");
  EXPECT_EQ(Error(Code::kInternal, "m", {"f", 0, ""}).describe(), "INTERNAL: m (f)");
  EXPECT_EQ(Error(Code::kInternal, "m", {"f", 0, "k"}).describe(), "INTERNAL: m (f, k)");
  EXPECT_EQ(Error(Code::kInternal, "m", {"", 3, ""}).describe(), "INTERNAL: m (line 3)");
  EXPECT_EQ(Error(Code::kInternal, "m", {"", 0, "k"}).describe(), "INTERNAL: m (k)");
}

TEST(Error, StaysOneLineOfUtf8WhateverItQuotes) {
  const Error error(Code::kUnknown, "first\nsecond\r\tthird \xff\n\n", {"a\nb", 1, ""});
  EXPECT_EQ(error.describe(), "UNKNOWN: first second  third \xef\xbf\xbd (a b:1)");
  EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
}

TEST(Error, BadInputEndsAProgramWithTwoAndFaultsWithOne) {
  for (const Code code : {Code::kInvalidArgument, Code::kNotFound, Code::kOutOfRange, Code::kFailedPrecondition,
                          Code::kAlreadyExists, Code::kUnimplemented}) {
    EXPECT_EQ(Error(code, "m").exit_status(), 2) << code_name(code);
  }
  for (const Code code : {Code::kInternal, Code::kUnavailable, Code::kResourceExhausted, Code::kPermissionDenied,
                          Code::kDataLoss, Code::kCancelled}) {
    EXPECT_EQ(Error(code, "m").exit_status(), 1) << code_name(code);
  }
}

TEST(Error, CodesHaveTheNumbersAndNamesOfGrpc) {
  const char* names[] = {
      "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",   "NOT_FOUND",
      "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
      "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",         "DATA_LOSS",
      "UNAUTHENTICATED"};
  for (int number = 1; number <= 16; ++number) {
    EXPECT_EQ(code_name(static_cast<Code>(number)), names[number - 1]);
  }
}

TEST(FailErrno, MapsTheSystemsNumbersToCodesWithAdvice) {
  const auto fail_with = [](int number) {
    return thrown([number] {
      errno = number;
      fail_errno("writing the file", "/a/b");
    });
  };
  EXPECT_EQ(fail_with(ENOSPC).code(), Code::kResourceExhausted);
  EXPECT_NE(fail_with(ENOSPC).describe().find("free space"), std::string::npos);
  EXPECT_EQ(fail_with(EDQUOT).code(), Code::kResourceExhausted);
  EXPECT_EQ(fail_with(ENOENT).code(), Code::kNotFound);
  EXPECT_EQ(fail_with(EACCES).code(), Code::kPermissionDenied);
  EXPECT_EQ(fail_with(EPERM).code(), Code::kPermissionDenied);
  EXPECT_EQ(fail_with(ENOENT).describe(),
            "NOT_FOUND: writing the file failed: No such file or directory; check the path (/a/b)");
}

}  // namespace
}  // namespace masbak::base

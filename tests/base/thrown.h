// The Error that a piece of work throws, for tests that look at its parts.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <optional>

#include "base/error.h"

namespace masbak::base {

// Fails the test, and returns an Error nobody expects, if `work` throws none.
inline Error thrown(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "expected an Error, none was thrown";
  return Error(Code::kUnknown, "nothing was thrown");
}

}  // namespace masbak::base

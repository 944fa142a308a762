// Runs masbak of the build under test.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/process.h"

namespace masbak::cli {

inline std::filesystem::path test_environment(const char* name) {
  const char* value = std::getenv(name);
  if (!value) throw std::runtime_error(std::string(name) + " is not set: run the tests with ctest");
  return value;
}

// MASBAK_DATA is `data`; the endpoint and token of whoever runs the tests are not used.
inline base::Output run_masbak(const std::filesystem::path& data, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), (test_environment("MASBAK_BIN") / "masbak").string());
  return base::run_process({.argv = std::move(arguments),
                            .env = {{"MASBAK_DATA", data.string()}, {"MASBAK_ENDPOINT", ""}, {"MASBAK_TOKEN", ""}}},
                           "", std::chrono::minutes(5));
}

}  // namespace masbak::cli

// Runs masbak-worker of the build under test.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/process.h"

namespace masbak::worker {

inline std::filesystem::path test_environment(const char* name) {
  const char* value = std::getenv(name);
  if (!value) throw std::runtime_error(std::string(name) + " is not set: run the tests with ctest");
  return value;
}

inline base::Output run_worker(std::vector<std::string> arguments, const std::string& input = "") {
  arguments.insert(arguments.begin(), (test_environment("MASBAK_BIN") / "masbak-worker").string());
  return base::run_process({.argv = std::move(arguments)}, input);
}

// The tiny llama model of the reader's tests.
inline std::string tiny_gguf() {
  return (test_environment("MASBAK_SOURCE") / "tests/models/checkpoint/golden/tiny-llama.gguf").string();
}

}  // namespace masbak::worker

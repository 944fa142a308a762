// The committed golden files, and small model folders made of them.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "base/document.h"

namespace masbak::models {

inline std::filesystem::path golden_file(const std::string& name) {
  const char* source = std::getenv("MASBAK_SOURCE");
  return std::filesystem::path(source == nullptr ? "." : source) / "tests/models/tokenizer/golden" / name;
}

inline base::Json golden(const std::string& name) { return base::read_json(golden_file(name)); }

inline std::string file_text(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

inline void write_file(const std::filesystem::path& file, const std::string& text) {
  std::ofstream(file, std::ios::binary) << text;
}

}  // namespace masbak::models

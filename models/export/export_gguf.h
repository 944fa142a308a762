// A model folder as one GGUF file, which llama.cpp runs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace masbak::models {

struct ExportOptions {
  std::filesystem::path model;  // a Hugging Face folder; weights stored small are widened
  std::string type = "bf16";    // f32, bf16 or q8_0: of matrices; norms and routers are F32
  bool tokenizer = true;        // false: a file without one, for programs that speak in token ids
  std::filesystem::path file;   // to write
};

struct ExportResult {
  std::string family, architecture;
  uint64_t tensors = 0, bytes = 0;
};

// The file appears whole or not at all. UNIMPLEMENTED, naming the field, for what llama.cpp would compute as another
// function or not at all, and for a tokenizer that it has no name for; INVALID_ARGUMENT for an unknown type;
// ALREADY_EXISTS; else as load_model.
ExportResult export_gguf(const ExportOptions& options);

}  // namespace masbak::models

// A dense model from a GGUF file, written as a Hugging Face model folder.
#pragma once

#include <filesystem>
#include <string>

#include "models/checkpoint/adopt/deepseek_v3.h"
#include "models/checkpoint/safetensors.h"

namespace masbak::models {

struct AdoptOptions {
  std::filesystem::path file;    // the GGUF file
  std::string family;            // "llama": as it is; "deepseek_v3": rewritten with MLA and experts
  ExpertOptions experts;         // for deepseek_v3
  Dtype dtype = Dtype::kBF16;    // kBF16 or kF32
  std::filesystem::path folder;  // to write; must not exist, or be empty
};

struct AdoptResult {
  std::string family;
  int64_t parameters = 0;
  uint64_t weights_bytes = 0;
};

// Reads, checks and writes. The folder appears whole or not at all; at no time lies more than one tensor
// in memory. Errors: what GgufFile, DenseLlama, DeepseekRewrite and the tokenizer's conversion say;
// INVALID_ARGUMENT for an unknown family or type; ALREADY_EXISTS; RESOURCE_EXHAUSTED for a full disk.
AdoptResult adopt(const AdoptOptions& options);

}  // namespace masbak::models

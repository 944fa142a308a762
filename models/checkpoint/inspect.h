// What a model folder holds, found out without allocating a weight.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace masbak::models {

struct Inspection {
  std::string family;
  int64_t layers = 0, hidden = 0, vocabulary = 0, max_positions = 0, experts = 0, experts_per_token = 0;
  int64_t parameters = 0;                        // of the configuration; tied ones once
  int64_t active_parameters = 0;                 // used for one token
  int64_t kv_cache_bytes_per_token = 0;          // over all layers, in the type that the model computes in
  int64_t multi_head_cache_bytes_per_token = 0;  // if every head's key and value were cached
  double kv_cache_ratio = 1;                     // of the two
  uint64_t weights_bytes = 0;                    // of the tensors in the files
  std::string dtype;               // in which most numbers are stored, in PyTorch's word: "bfloat16", or "nf4"
  std::string digest;              // model_digest; empty: not computed
  std::vector<std::string> notes;  // what the files hold and the model leaves out
};

// Reads config.json and the headers of the weights, and checks that every tensor that the family needs is
// there with its shape. Throws what read_model_config, find_family, Family::describe and Checkpoint throw;
// NOT_FOUND for a missing tensor and INVALID_ARGUMENT for one of a wrong shape, each with its name.
// The digest of a folder with more than 64 GiB to hash (not yet known by their identity) is left empty unless
// `with_digest`.
Inspection inspect_model(const std::filesystem::path& folder, bool with_digest = false);

}  // namespace masbak::models

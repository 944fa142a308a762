// What the configurations of all families share: reading sizes, and refusing what would change the
// function without being implemented.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/document.h"
#include "models/families/causal_model.h"

namespace masbak::models {

// A required size: an integer above zero and below 2^24.
int64_t read_size(const base::Fields& config, const std::string& key);
int64_t read_size(const base::Fields& config, const std::string& key, int64_t fallback);

// The number of experts, which published files write under several names; two that differ are an error. `key` is the
// name to ask for if there is none.
int64_t read_experts(const base::Fields& config, const std::string& key, int64_t fallback = 0);

// The type that config.json names for the weights ("dtype", or "torch_dtype" as it was called): "float32" if none.
std::string stored_dtype(const base::Fields& config);
// What load_model computes in by default: "bfloat16" where the weights are so, else "float32" (float16 too: float32
// holds every float16 number, bfloat16 would round them).
std::string compute_dtype(const base::Fields& config);

// hidden_act must be silu, and a quantization_config one that we read; UNIMPLEMENTED otherwise.
void read_common(const base::Fields& config);

// Refuses a field that changes the function unless it has the value that means "off".
void require_value(const base::Fields& config, const std::string& key, const base::Json& only);

// After a family has read its fields: accepts those that say nothing about the function (names, token ids,
// what training used) and those with a value that means "off" (null, false, 0, "", [] or {}), and refuses
// by name every other that nobody read.
void refuse_unread(const base::Fields& config);

}  // namespace masbak::models

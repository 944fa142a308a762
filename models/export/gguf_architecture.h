// Which of llama.cpp's architectures computes a family's function, and what its metadata say of the model.
#pragma once

#include <string>
#include <vector>

#include "base/document.h"
#include "models/export/gguf_writer.h"
#include "models/families/blueprint.h"

namespace masbak::models {

struct GgufArchitecture {
  std::string name;  // general.architecture, and how the model's keys begin
  // llama.cpp turns neighbouring features of a head, Hugging Face those half a head apart: rows of queries and keys
  // change places.
  bool pairs = false;
  bool needs_output = false;  // no head is taken from the embedding
};

// UNIMPLEMENTED, with the field of config.json, for what llama.cpp would compute as another function or cannot load.
GgufArchitecture gguf_architecture(const Blueprint& plan, const base::Fields& config);

// The keys behind the architecture's name: sizes, attention, experts, positions.
void put_architecture(const Blueprint& plan, const base::Fields& config, const GgufArchitecture& architecture,
                      GgufWriter& out);

// What llama3's stretching divides each rotary frequency by; empty for other kinds.
std::vector<double> rope_divisors(const Blueprint& plan, const base::Fields& config);

}  // namespace masbak::models

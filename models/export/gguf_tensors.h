// A model's weights under the names and in the layouts of GGUF.
#pragma once

#include "models/export/gguf_architecture.h"
#include "models/export/gguf_writer.h"
#include "models/families/blueprint.h"
#include "models/families/weights.h"

namespace masbak::models {

// Matrices in `type`; norms, biases and routers in F32, as llama.cpp computes with them. `weights` must outlive the
// writing.
void add_tensors(const Blueprint& plan, const GgufArchitecture& architecture, const std::vector<double>& rope_divisors,
                 GgufType type, WeightReader& weights, GgufWriter& out);

}  // namespace masbak::models

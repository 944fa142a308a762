// How many sizes of matrix products a run will have.
//
// In bfloat16 LibTorch multiplies through oneDNN, which keeps a plan and machine code for each size: half a megabyte,
// up to 1,024 of them. Numbers of tokens and of rows that experts get differ from batch to batch. Where the project's
// own kernels multiply (models/layers/matrix_product.h), only those of few rows are oneDNN's.
#pragma once

#include <cstdint>

#include "trainer/estimate/largest_batches.h"
#include "trainer/estimate/probe.h"
#include "trainer/estimate/shapes.h"
#include "trainer/run_config.h"

namespace masbak::trainer {

constexpr int64_t kBytesOfProductSize = 600'000;  // measured: 128 sizes more took 70 MiB

// Those that come beside the ones of what was probed. `free`: products of many rows cost none. A pure function.
int64_t further_product_sizes(const RunConfig& run, const ModelShapes& shapes, const LargestBatches& batches,
                              const Probe& probe, bool free);

}  // namespace masbak::trainer

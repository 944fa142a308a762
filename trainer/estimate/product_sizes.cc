#include "trainer/estimate/product_sizes.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <utility>

#include "models/layers/expert_block.h"
#include "models/layers/filled_size.h"
#include "models/layers/matrix_product.h"
#include "trainer/loop/passes.h"
#include "trainer/objectives/sft.h"

namespace masbak::trainer {
namespace {

constexpr int64_t kMostKept = 1024;  // oneDNN's default capacity
// How far the rows of an expert stray from those that were seen, down and up.
constexpr double kFewer = 0.75, kMore = 1.33;
// Blocks that end with a sequence: queries and keys, forward and back.
constexpr int64_t kSizesOfLength = 16;

// The sizes that there are from `low` to `high`.
int64_t sizes_between(int64_t low, int64_t high, int64_t least) {
  int64_t count = 0;
  for (int64_t size = models::filled_size(low, least); size <= models::filled_size(high, least); ++count) {
    size = models::filled_size(size + 1, least);
  }
  return count;
}

// Sizes of the rows that experts get in a run, without those that they got in the probe.
int64_t further_rows(const ModelShapes& shapes, const LargestBatches& batches, const std::set<int64_t>& tokens,
                     const Probe& probe, bool free) {
  if (probe.largest_share == 0 || tokens.empty()) return 0;
  const int64_t k = shapes.info.experts_per_token, experts = shapes.info.experts;
  const int64_t fewest = *tokens.begin() * k, most = *tokens.rbegin() * k;
  const int64_t least = most / experts < models::kExpertRowStep ? 1 : models::kExpertRowStep;
  const double low = kFewer * probe.smallest_share * static_cast<double>(fewest);
  const double high = kMore * probe.largest_share * static_cast<double>(most);
  const int64_t largest = free ? models::fewest_free_rows() - 1 : most;
  const auto between = static_cast<double>(sizes_between(std::max<int64_t>(1, static_cast<int64_t>(low)),
                                                         std::min(largest, static_cast<int64_t>(high)), least));
  if (between == 0) return 0;
  // Of so many sizes, as many as that many draws find on the average.
  const auto draws = static_cast<double>(shapes.info.layers * experts * std::max<int64_t>(1, batches.parts));
  std::set<int64_t> seen;
  for (const int64_t rows : probe.expert_rows) seen.insert(models::filled_size(rows, least));
  const auto found = static_cast<int64_t>(between * (1 - std::exp(-draws / between)));
  return std::max<int64_t>(0, found - static_cast<int64_t>(seen.size()));
}

}  // namespace

int64_t further_product_sizes(const RunConfig& run, const ModelShapes& shapes, const LargestBatches& batches,
                              const Probe& probe, bool free) {
  if (run.training.dtype == "float32") return 0;
  std::set<std::pair<int64_t, int64_t>> linears, experts;
  bool latent = false;
  for (const adapters::PlanPlace& place : shapes.places) {
    if (!place.name.starts_with("model.layers.")) continue;
    (place.experts > 0 ? experts : linears).insert({place.in, place.out});
    latent |= place.name.ends_with(".kv_b_proj");
  }
  std::set<int64_t> seen, tokens = batches.part_tokens;
  std::set<int64_t> seen_lengths;
  for (const auto& batch : batches.train) {
    for (const auto& part : Passes::parts(batch, run.objective, run.training, run.adapter.lora_dropout)) {
      for (const TokenView& example : part) seen_lengths.insert(static_cast<int64_t>(example.ids.size()));
      seen.insert(filled_tokens(tokens_of(part)));
    }
  }
  // Another epoch mixes the examples anew: then all sizes in between come.
  const int64_t between =
      tokens.empty() || batches.epochs < 2 ? 0 : sizes_between(*tokens.begin(), *tokens.rbegin(), kTokenStep);
  const int64_t of_tokens = std::max(between, static_cast<int64_t>(tokens.size())) - static_cast<int64_t>(seen.size());
  // Forward and back, each.
  int64_t further = free ? 0 : 2 * static_cast<int64_t>(linears.size()) * std::max<int64_t>(0, of_tokens);
  // Attention by groups is LibTorch's, sequence by sequence in blocks; that of latents is our own.
  if (!latent) {
    for (const int64_t length : batches.lengths) further += seen_lengths.count(length) > 0 ? 0 : kSizesOfLength;
  }
  tokens.insert(batches.eval_part_tokens.begin(), batches.eval_part_tokens.end());
  further += 2 * static_cast<int64_t>(experts.size()) * further_rows(shapes, batches, tokens, probe, free);
  return std::min(further, kMostKept);
}

}  // namespace masbak::trainer

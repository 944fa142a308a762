#include "models/generation/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"

namespace masbak::models {
namespace {

int32_t most_likely(const std::vector<float>& logits) {
  size_t best = 0;
  for (size_t i = 1; i < logits.size(); ++i) {
    if (logits[i] > logits[best]) best = i;
  }
  if (!std::isfinite(logits[best])) {
    throw base::Error(base::Code::kInternal,
                      "the model's logits are not finite; check the weights, or compute in float32");
  }
  return static_cast<int32_t>(best);
}

}  // namespace

// SplitMix64 (Steele, Lea, Flood 2014): every seed starts a stream of its own.
double RandomStream::uniform() {
  state_ += 0x9E3779B97F4A7C15ull;
  uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  z ^= z >> 31;
  return static_cast<double>(z >> 11) * 0x1.0p-53;
}

int32_t sample_token(std::vector<float>& logits, const SamplingOptions& options, RandomStream& random) {
  const int32_t best = most_likely(logits);
  if (options.temperature <= 0) return best;
  // Candidates by falling probability; only as many as top_k asks for have to be sorted.
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto likelier = [&](int32_t a, int32_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; };
  if (options.top_k > 0 && options.top_k < static_cast<int64_t>(order.size())) {
    std::partial_sort(order.begin(), order.begin() + options.top_k, order.end(), likelier);
    order.resize(options.top_k);
  } else {
    std::sort(order.begin(), order.end(), likelier);
  }
  std::vector<double> weights(order.size());
  const double top = logits[order[0]];
  double total = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    weights[i] = std::exp((logits[order[i]] - top) / options.temperature);
    total += weights[i];
  }
  // The first of the sorted ones whose sum reaches top_p is the last that stays.
  double kept = 0;
  size_t count = 0;
  while (count < order.size() && (count == 0 || kept < options.top_p * total)) kept += weights[count++];
  double left = random.uniform() * kept;
  for (size_t i = 0; i < count; ++i) {
    left -= weights[i];
    if (left < 0) return order[i];
  }
  return order[count - 1];
}

}  // namespace masbak::models

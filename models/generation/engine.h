// Generation over token ids: a set of running sequences, one batched step at a time (continuous
// batching). Knows nothing of text.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "models/families/causal_model.h"

namespace masbak::models {

struct SamplingOptions {
  int64_t max_tokens = 256;
  double temperature = 0.0;  // 0: the most likely token
  double top_p = 1.0;
  int64_t top_k = 0;  // 0: off
  uint64_t seed = 0;
  std::vector<int32_t> stop_ids;  // end-of-sequence ids; not part of the result
};

enum class FinishReason { kStop, kLength, kCancelled };
const char* finish_reason_name(FinishReason reason);  // "stop", "length", "cancelled"

// One request. on_token is called from step() for each new token (never for a stop id); returning
// false cancels the request. on_finish is called once.
struct GenerationRequest {
  std::vector<int32_t> prompt;
  SamplingOptions sampling;
  std::function<bool(int32_t)> on_token;
  std::function<void(FinishReason)> on_finish;
};

// Not thread-safe: one thread submits and steps; a server puts a queue in front.
class Engine {
 public:
  // `model` must outlive the engine. At most `max_running` sequences run at once, the others wait in
  // order of arrival.
  Engine(CausalModel& model, int64_t max_running = 16);
  ~Engine();
  // INVALID_ARGUMENT if the prompt is empty, has an id outside the vocabulary, or leaves no room
  // before the model's last position.
  void submit(GenerationRequest request);
  // One forward pass for every running sequence. False if nothing is left to do.
  bool step();
  int64_t running() const;
  int64_t waiting() const;
  int64_t cache_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct Generated {
  std::vector<int32_t> ids;
  FinishReason finish_reason;
};
// All prompts, batched, to the end.
std::vector<Generated> generate(CausalModel& model, const std::vector<std::vector<int32_t>>& prompts,
                                const SamplingOptions& sampling);

}  // namespace masbak::models

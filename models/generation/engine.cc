#include "models/generation/engine.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <deque>

#include "base/error.h"
#include "models/generation/sampler.h"

namespace masbak::models {
namespace {

// Prompts enter in pieces, so that a long one does not hold up those that already answer.
constexpr int64_t kPromptTokensPerStep = 512;

struct Sequence {
  explicit Sequence(GenerationRequest asked) : request(std::move(asked)), random(request.sampling.seed) {}
  GenerationRequest request;
  RandomStream random;
  std::unique_ptr<KvCache> cache;
  int64_t read = 0;  // prompt tokens in the cache, or planned for the step that runs
  int32_t last = 0;  // the newest token, not yet in the cache
  int64_t produced = 0;

  int64_t prompt_left() const { return static_cast<int64_t>(request.prompt.size()) - read; }
};

}  // namespace

struct Engine::State {
  State(CausalModel& model, int64_t max_running) : model(model), max_running(max_running) {}

  CausalModel& model;
  int64_t max_running;
  std::deque<std::unique_ptr<Sequence>> waiting;
  std::vector<std::unique_ptr<Sequence>> running;

  Batch plan_step(std::vector<Sequence*>& in_step, std::vector<int64_t>& ids);
  bool accept(Sequence& sequence, std::vector<float>& logits, FinishReason& reason);
};

const char* finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop: return "stop";
    case FinishReason::kLength: return "length";
    case FinishReason::kCancelled: return "cancelled";
  }
  return "unknown";
}

Engine::Engine(CausalModel& model, int64_t max_running)
    : state_(std::make_unique<State>(model, std::max<int64_t>(1, max_running))) {}
Engine::~Engine() = default;

void Engine::submit(GenerationRequest request) {
  const ModelInfo& info = state_->model.info();
  const int64_t length = static_cast<int64_t>(request.prompt.size());
  if (length == 0) base::fail_input("the prompt has no tokens; give at least one");
  if (request.sampling.max_tokens < 1) base::fail_input("max_tokens must be at least 1");
  if (length >= info.max_positions) {
    base::fail_input("the prompt has " + std::to_string(length) +
                     " tokens, which leaves no room for an answer in the model's " +
                     std::to_string(info.max_positions) + " positions; shorten it");
  }
  for (int32_t id : request.prompt) {
    if (id < 0 || id >= info.vocabulary) {
      base::fail_input("the prompt has token id " + std::to_string(id) + ", the model's ids go from 0 to " +
                       std::to_string(info.vocabulary - 1));
    }
  }
  state_->waiting.push_back(std::make_unique<Sequence>(std::move(request)));
}

// Every answering sequence takes part with its newest token; prompts fill what is left of the step.
Batch Engine::State::plan_step(std::vector<Sequence*>& in_step, std::vector<int64_t>& ids) {
  Batch batch;
  int64_t room = kPromptTokensPerStep;
  for (const auto& sequence : running) {
    const int64_t begin = static_cast<int64_t>(ids.size());
    if (sequence->prompt_left() == 0) {
      ids.push_back(sequence->last);
    } else {
      const int64_t count = std::min(room, sequence->prompt_left());
      if (count == 0) continue;
      const auto first = sequence->request.prompt.begin() + sequence->read;
      ids.insert(ids.end(), first, first + count);
      sequence->read += count;
      room -= count;
    }
    batch.slices.push_back({begin, static_cast<int64_t>(ids.size()) - begin, sequence->cache.get()});
    in_step.push_back(sequence.get());
  }
  batch.ids_T = at::from_blob(ids.data(), {static_cast<int64_t>(ids.size())}, at::TensorOptions().dtype(at::kLong));
  return batch;
}

// Takes the next token; true if the sequence is at its end.
bool Engine::State::accept(Sequence& sequence, std::vector<float>& logits, FinishReason& reason) {
  const SamplingOptions& options = sequence.request.sampling;
  const int32_t token = sample_token(logits, options, sequence.random);
  reason = FinishReason::kStop;
  if (std::count(options.stop_ids.begin(), options.stop_ids.end(), token)) return true;
  sequence.last = token;
  ++sequence.produced;
  reason = FinishReason::kCancelled;
  if (sequence.request.on_token && !sequence.request.on_token(token)) return true;
  reason = FinishReason::kLength;
  return sequence.produced >= options.max_tokens || sequence.cache->length() >= model.info().max_positions;
}

bool Engine::step() {
  State& state = *state_;
  while (!state.waiting.empty() && running() < state.max_running) {
    state.running.push_back(std::move(state.waiting.front()));
    state.waiting.pop_front();
    state.running.back()->cache = state.model.make_cache();
  }
  if (state.running.empty()) return false;
  const at::NoGradGuard no_grad;
  std::vector<Sequence*> in_step;
  std::vector<int64_t> ids;
  const Batch batch = state.plan_step(in_step, ids);
  const at::Tensor hidden_TD = state.model.hidden(batch);
  std::vector<int64_t> last;  // the last token of each sequence whose prompt is read
  std::vector<Sequence*> answering;
  for (size_t s = 0; s < in_step.size(); ++s) {
    if (in_step[s]->prompt_left() > 0) continue;
    last.push_back(batch.slices[s].begin + batch.slices[s].length - 1);
    answering.push_back(in_step[s]);
  }
  if (answering.empty()) return true;
  const at::Tensor index =
      at::from_blob(last.data(), {static_cast<int64_t>(last.size())}, at::TensorOptions().dtype(at::kLong));
  const at::Tensor logits_NV =
      state.model.logits(hidden_TD.index_select(0, index.to(hidden_TD.device()))).to(at::kFloat).cpu().contiguous();
  const int64_t vocabulary = logits_NV.size(1);
  for (size_t i = 0; i < answering.size(); ++i) {
    const float* row = logits_NV.const_data_ptr<float>() + static_cast<int64_t>(i) * vocabulary;
    std::vector<float> logits(row, row + vocabulary);
    FinishReason reason;
    if (!state.accept(*answering[i], logits, reason)) continue;
    const auto place = std::find_if(state.running.begin(), state.running.end(),
                                    [&](const auto& sequence) { return sequence.get() == answering[i]; });
    const std::unique_ptr<Sequence> ended = std::move(*place);
    state.running.erase(place);
    if (ended->request.on_finish) ended->request.on_finish(reason);
  }
  return !state.running.empty() || !state.waiting.empty();
}

int64_t Engine::running() const { return static_cast<int64_t>(state_->running.size()); }
int64_t Engine::waiting() const { return static_cast<int64_t>(state_->waiting.size()); }

int64_t Engine::cache_bytes() const {
  int64_t sum = 0;
  for (const auto& sequence : state_->running) sum += sequence->cache->bytes();
  return sum;
}

std::vector<Generated> generate(CausalModel& model, const std::vector<std::vector<int32_t>>& prompts,
                                const SamplingOptions& sampling) {
  Engine engine(model);
  std::vector<Generated> results(prompts.size());
  for (size_t i = 0; i < prompts.size(); ++i) {
    GenerationRequest request;
    request.prompt = prompts[i];
    request.sampling = sampling;
    request.on_token = [&results, i](int32_t id) {
      results[i].ids.push_back(id);
      return true;
    };
    request.on_finish = [&results, i](FinishReason reason) { results[i].finish_reason = reason; };
    engine.submit(std::move(request));
  }
  while (engine.step()) {
  }
  return results;
}

}  // namespace masbak::models

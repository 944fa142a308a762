// Continuous batching: what a request gets does not depend on its neighbours; ends, limits, cancellation, sampling.
#include "models/generation/engine.h"

#include <gtest/gtest.h>

#include <map>

#include "models/generation/sampler.h"
#include "tests/models/families/small_model.h"

namespace masbak::models {
namespace {

using testing::small_model;

SamplingOptions greedy(int64_t max_tokens) {
  SamplingOptions options;
  options.max_tokens = max_tokens;
  return options;
}

// The next token again and again from whole passes without a cache.
std::vector<int32_t> slow_greedy(CausalModel& model, std::vector<int32_t> ids, int64_t count) {
  const at::NoGradGuard no_grad;
  const size_t prompt = ids.size();
  for (int64_t i = 0; i < count; ++i) {
    const at::Tensor logits = model.logits(model.hidden(make_batch({ids})));
    ids.push_back(static_cast<int32_t>(logits[-1].argmax().item<int64_t>()));
  }
  return {ids.begin() + static_cast<int64_t>(prompt), ids.end()};
}

TEST(Engine, GreedyEqualsWholePassesWhateverElseRuns) {
  auto model = small_model(5);
  std::vector<std::vector<int32_t>> prompts;
  for (int32_t i = 0; i < 20; ++i) {  // more than run at once
    prompts.emplace_back();
    for (int32_t k = 0; k <= i; ++k) prompts.back().push_back((i * 13 + k * 5) % testing::kVocabulary);
  }
  const std::vector<Generated> together = generate(*model, prompts, greedy(12));
  for (size_t i = 0; i < prompts.size(); ++i) {
    EXPECT_EQ(together[i].ids, slow_greedy(*model, prompts[i], 12)) << i;
    EXPECT_EQ(together[i].finish_reason, FinishReason::kLength);
  }
}

TEST(Engine, StopsAtAStopIdWithoutReturningIt) {
  auto model = small_model(5);
  const std::vector<int32_t> free = generate(*model, {{1, 2, 3}}, greedy(10))[0].ids;
  SamplingOptions options = greedy(10);
  options.stop_ids = {free[4]};
  const Generated stopped = generate(*model, {{1, 2, 3}}, options)[0];
  const auto first = std::find(free.begin(), free.end(), free[4]);
  EXPECT_EQ(stopped.ids, std::vector<int32_t>(free.begin(), first));
  EXPECT_EQ(stopped.finish_reason, FinishReason::kStop);
}

TEST(Engine, EndsAtTheLastPosition) {
  auto model = small_model();
  const std::vector<int32_t> prompt(testing::kPositions - 3, 7);
  const Generated result = generate(*model, {prompt}, greedy(100))[0];
  EXPECT_EQ(result.finish_reason, FinishReason::kLength);
  // The last token needs no position of its own: it is never fed back.
  EXPECT_EQ(result.ids.size(), 4u);
}

TEST(Engine, CancelsFromTheCallback) {
  auto model = small_model();
  Engine engine(*model);
  int tokens = 0;
  FinishReason reason = FinishReason::kStop;
  GenerationRequest request;
  request.prompt = {1};
  request.sampling = greedy(50);
  request.on_token = [&](int32_t) { return ++tokens < 3; };
  request.on_finish = [&](FinishReason r) { reason = r; };
  engine.submit(request);
  while (engine.step()) {
  }
  EXPECT_EQ(tokens, 3);
  EXPECT_EQ(reason, FinishReason::kCancelled);
  EXPECT_EQ(engine.running(), 0);
  EXPECT_EQ(engine.cache_bytes(), 0);
}

TEST(Engine, RefusesBadPrompts) {
  auto model = small_model();
  Engine engine(*model);
  const auto submit = [&](std::vector<int32_t> prompt, int64_t max_tokens = 5) {
    GenerationRequest request;
    request.prompt = std::move(prompt);
    request.sampling = greedy(max_tokens);
    engine.submit(std::move(request));
  };
  EXPECT_THROW(submit({}), base::Error);
  EXPECT_THROW(submit({testing::kVocabulary}), base::Error);
  EXPECT_THROW(submit({-1}), base::Error);
  EXPECT_THROW(submit({1}, 0), base::Error);
  EXPECT_THROW(submit(std::vector<int32_t>(testing::kPositions, 1)), base::Error);
  EXPECT_FALSE(engine.step());
}

TEST(Engine, WaitsForAPlace) {
  auto model = small_model();
  Engine engine(*model, 2);
  for (int i = 0; i < 5; ++i) {
    GenerationRequest request;
    request.prompt = {i + 1};
    request.sampling = greedy(3);
    engine.submit(std::move(request));
  }
  engine.step();
  EXPECT_EQ(engine.running(), 2);
  EXPECT_EQ(engine.waiting(), 3);
  EXPECT_GT(engine.cache_bytes(), 0);
}

TEST(Sampler, SameSeedSameTokens) {
  auto model = small_model();
  SamplingOptions options = greedy(30);
  options.temperature = 30.0;  // the random model is sure of itself
  options.seed = 11;
  const auto first = generate(*model, {{1, 2}, {3}}, options), again = generate(*model, {{4, 4, 4}, {1, 2}}, options);
  EXPECT_EQ(first[0].ids, again[1].ids);
  options.seed = 12;
  EXPECT_NE(generate(*model, {{1, 2}}, options)[0].ids, first[0].ids);
}

// Draws of one place against the probabilities that the options leave.
std::map<int32_t, double> shares(const SamplingOptions& options, const std::vector<float>& logits) {
  RandomStream random(3);
  std::map<int32_t, double> counts;
  constexpr int kDraws = 40000;
  for (int i = 0; i < kDraws; ++i) {
    std::vector<float> copy = logits;
    counts[sample_token(copy, options, random)] += 1.0 / kDraws;
  }
  return counts;
}

TEST(Sampler, FollowsTheDistribution) {
  const std::vector<float> logits = {std::log(0.5f), std::log(0.3f), std::log(0.15f), std::log(0.05f)};
  SamplingOptions options;
  options.temperature = 1.0;
  auto all = shares(options, logits);
  EXPECT_NEAR(all[0], 0.5, 0.01);
  EXPECT_NEAR(all[3], 0.05, 0.005);
  options.top_p = 0.7;  // 0.5 + 0.3 is the smallest set that reaches it
  auto nucleus = shares(options, logits);
  EXPECT_EQ(nucleus.size(), 2u);
  EXPECT_NEAR(nucleus[0], 0.625, 0.01);
  options.top_p = 1.0;
  options.top_k = 3;
  EXPECT_EQ(shares(options, logits).size(), 3u);
  options.top_k = 0;
  options.temperature = 0.5;
  EXPECT_NEAR(shares(options, logits)[0], 0.25 / (0.25 + 0.09 + 0.0225 + 0.0025), 0.01);
}

TEST(Sampler, GreedyTakesTheFirstOfEquals) {
  RandomStream random(0);
  std::vector<float> logits = {0.0f, 2.0f, 2.0f};
  EXPECT_EQ(sample_token(logits, SamplingOptions(), random), 1);
  std::vector<float> broken = {NAN, NAN};
  EXPECT_THROW(sample_token(broken, SamplingOptions(), random), base::Error);
}

}  // namespace
}  // namespace masbak::models

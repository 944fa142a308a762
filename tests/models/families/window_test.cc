// Grouped-query attention with a sliding window: the prompt, its pieces and its steps are one function, and no token
// sees further than the window.
#include <gtest/gtest.h>

#include "models/layers/grouped_query_attention.h"
#include "tests/models/families/small_model.h"

namespace masbak::models {
namespace {

using testing::difference;
using testing::piecewise_logits;
using testing::whole_logits;

constexpr int64_t kGroups = 2, kHeadSize = 8, kLong = 700;

std::unique_ptr<Attention> windowed(int64_t window) {
  auto attention = std::make_unique<GroupedQueryAttention>();
  attention->heads = testing::kHeads;
  attention->groups = kGroups;
  attention->head_size = kHeadSize;
  attention->scale = 0.35;
  attention->window = window;
  attention->norm = HeadNorm::kEach;
  attention->q_norm = at::rand({kHeadSize}) + 0.5;
  attention->k_norm = at::rand({kHeadSize}) + 0.5;
  attention->q_proj = testing::random_projection(testing::kHeads * kHeadSize, testing::kHidden, at::kFloat);
  attention->k_proj = testing::random_projection(kGroups * kHeadSize, testing::kHidden, at::kFloat);
  attention->v_proj = testing::random_projection(kGroups * kHeadSize, testing::kHidden, at::kFloat);
  attention->o_proj = testing::random_projection(testing::kHidden, testing::kHeads * kHeadSize, at::kFloat);
  return attention;
}

// One layer, so that what a token can see is the window and not a chain of windows.
std::unique_ptr<CausalModel> model(int64_t window) {
  at::manual_seed(5);
  DecoderParts parts;
  parts.info.layers = 1;
  parts.info.hidden = testing::kHidden;
  parts.info.vocabulary = testing::kVocabulary;
  parts.info.max_positions = kLong;
  parts.rotary = Rotary::read(base::Fields::from_json(base::Json::object(), "config.json"), kHeadSize, kLong);
  parts.embedding_VD = at::randn({testing::kVocabulary, testing::kHidden});
  parts.last_norm_D = at::ones({testing::kHidden});
  parts.layers.push_back({at::ones({testing::kHidden}), at::ones({testing::kHidden}), windowed(window),
                          testing::random_mlp(12, at::kFloat)});
  parts.head = make_projection(parts.embedding_VD);
  return std::make_unique<Decoder>(std::move(parts));
}

std::vector<int32_t> ids(int64_t count, int64_t first = 3) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back(static_cast<int32_t>((first + i * i) % testing::kVocabulary));
  return ids;
}

TEST(Window, PiecesAndStepsEqualTheWhole) {
  for (int64_t window : {1, 4, 11, 300}) {
    auto windowed_model = model(window);
    const at::Tensor all = whole_logits(*windowed_model, {ids(40)});
    EXPECT_LT(difference(piecewise_logits(*windowed_model, ids(40), std::vector<int64_t>(40, 1)), all), 2e-5) << window;
    EXPECT_LT(difference(piecewise_logits(*windowed_model, ids(40), {1, 8, 3, 20, 8}), all), 2e-5) << window;
  }
}

// The last token is the same as after the tokens of its window alone, since angles count from any start.
TEST(Window, ATokenSeesItsWindowAndNoMore) {
  constexpr int64_t kWindow = 37;
  auto windowed_model = model(kWindow);
  const std::vector<int32_t> all = ids(kLong);
  const at::Tensor logits = whole_logits(*windowed_model, {all});
  for (int64_t last : {36, 37, 255, 256, 292, 293, 511, 600, 699}) {
    const int64_t first = last - kWindow + 1;
    const at::Tensor alone = whole_logits(*windowed_model, {{all.begin() + first, all.begin() + last + 1}});
    EXPECT_LT(difference(alone[kWindow - 1], logits[last]), 5e-4) << last;
    const at::Tensor fewer = whole_logits(*windowed_model, {{all.begin() + first + 1, all.begin() + last + 1}});
    EXPECT_GT(difference(fewer[kWindow - 2], logits[last]), 5e-4) << last;
  }
}

TEST(Window, SequencesOfABatchDoNotMeet) {
  auto windowed_model = model(5);
  const at::Tensor together = whole_logits(*windowed_model, {ids(11), ids(23, 8), ids(1)});
  EXPECT_LT(difference(together.narrow(0, 0, 11), whole_logits(*windowed_model, {ids(11)})), 2e-5);
  EXPECT_LT(difference(together.narrow(0, 11, 23), whole_logits(*windowed_model, {ids(23, 8)})), 2e-5);
  EXPECT_LT(difference(together.narrow(0, 34, 1), whole_logits(*windowed_model, {ids(1)})), 2e-5);
}

}  // namespace
}  // namespace masbak::models

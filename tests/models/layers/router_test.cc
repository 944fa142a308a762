// The choices and weights of a router, on logits small enough to work out by hand.
#include "models/layers/router.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace masbak::models {
namespace {

using Scoring = RouterRule::Scoring;

// A gate that passes its input on: the tokens are the logits.
RoutingDecision decide(const RouterRule& rule, const std::vector<double>& logits, at::Tensor correction = {}) {
  Router router;
  router.rule = rule;
  const int64_t experts = static_cast<int64_t>(logits.size());
  router.gate = make_projection(at::eye(experts));
  router.correction_E = correction;
  return router.decide(at::tensor(at::ArrayRef<double>(logits)).to(at::kFloat).unsqueeze(0));
}

std::vector<int64_t> chosen(const RoutingDecision& decision) {
  const at::Tensor row = std::get<0>(decision.chosen_TK[0].sort());
  return {row.data_ptr<int64_t>(), row.data_ptr<int64_t>() + row.numel()};
}

TEST(Router, SoftmaxWeightsSumToOneOnlyIfNormalised) {
  RouterRule rule;
  rule.scoring = Scoring::kSoftmax;
  rule.experts_per_token = 2;
  const RoutingDecision normalised = decide(rule, {0, 2, 1, -1});
  EXPECT_EQ(chosen(normalised), (std::vector<int64_t>{1, 2}));
  EXPECT_NEAR(normalised.weights_TK[0][0].item<float>(), 1 / (1 + std::exp(-1.0)), 1e-6);
  rule.normalise = false;
  const RoutingDecision plain = decide(rule, {0, 2, 1, -1});
  EXPECT_NEAR(plain.weights_TK.sum().item<float>(),
              (std::exp(2.0) + std::exp(1.0)) / (1 + std::exp(2.0) + std::exp(1.0) + std::exp(-1.0)), 1e-6);
  EXPECT_NEAR(plain.scores_TE.sum().item<float>(), 1.0, 1e-6);
}

TEST(Router, SoftmaxOfChosenChoosesByLogitsWhereProbabilitiesVanish) {
  RouterRule rule;
  rule.scoring = Scoring::kSoftmaxOfChosen;
  rule.experts_per_token = 2;
  const RoutingDecision decision = decide(rule, {-200, 500, -300, -150});
  EXPECT_EQ(chosen(decision), (std::vector<int64_t>{1, 3}));
  EXPECT_NEAR(decision.weights_TK.sum().item<float>(), 1.0, 1e-6);
}

TEST(Router, GroupsAreRatedByTheirBest) {
  RouterRule rule;
  rule.scoring = Scoring::kSoftmax;
  rule.experts_per_token = 2;
  rule.groups = 2;
  rule.chosen_groups = 1;
  const std::vector<double> logits = {3, -9, -9, 2, 2, -9};
  rule.rated_by = 1;
  EXPECT_EQ(chosen(decide(rule, logits))[0], 0);
  rule.rated_by = 2;  // 2 + 2 beats 3 - 9 in probabilities only if the two are near: sigmoid scores
  rule.scoring = Scoring::kSigmoid;
  EXPECT_EQ(chosen(decide(rule, logits)), (std::vector<int64_t>{3, 4}));
}

TEST(Router, CorrectionChangesTheChoiceAndNotTheWeights) {
  RouterRule rule;
  rule.normalise = false;
  rule.scale = 2.0;
  const RoutingDecision decision = decide(rule, {1, 0, 0}, at::tensor({0.0F, 0.0F, 5.0F}));
  EXPECT_EQ(chosen(decision), (std::vector<int64_t>{2}));
  EXPECT_NEAR(decision.weights_TK.item<float>(), 2 * 0.5, 1e-6);
}

}  // namespace
}  // namespace masbak::models
